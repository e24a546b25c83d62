"""The right to submit is a claim: a row held until an hour, and believed only while it is held."""

from ledger.records import Fault, JobError, JobState, Outcome
from ledger.requests import CLAIM_ENDED, Task
from ledger.transitions import outcomes, submissions
from tests.ledger.conftest import BROKEN, UNREAD, Story, ms


async def claimed_job(story: Story) -> tuple[Task, str]:
    job_id = await story.accept()
    [task] = await story.fetch("submit", at=1)
    return task, await story.begin(job_id)


async def test_only_one_of_two_workers_can_begin(story: Story) -> None:
    job_id = await story.accept()
    first = await story.store.write(submissions.claim(job_id, now=ms(1), until=ms(61)))
    second = await story.store.write(submissions.claim(job_id, now=ms(2), until=ms(62)))
    assert first.claim is not None
    assert second.claim is None
    assert second.job is not None
    assert second.job.state is JobState.SUBMITTING


async def test_a_stale_worker_finds_its_claim_gone_and_changes_nothing(story: Story) -> None:
    task, stale = await claimed_job(story)
    await story.store.write(submissions.claim(task.subject, now=ms(61), until=ms(121)))
    before = await story.job(task.subject)
    assert before.state is JobState.UNCONFIRMED
    for transaction in (
        submissions.return_to_accepted(task, claim=stale, now=ms(62), due_at=ms(63)),
        submissions.mark_unconfirmed(task, claim=stale, error=UNREAD, now=ms(62), due_at=ms(63)),
        outcomes.refuse(task, BROKEN, claim=stale, now=ms(62)),
    ):
        assert await story.store.write(transaction) is False
    assert await story.job(task.subject) == before


async def test_an_answer_read_after_the_claim_ended_still_confirms(story: Story) -> None:
    task, _ = await claimed_job(story)
    await story.store.write(submissions.claim(task.subject, now=ms(61), until=ms(121)))
    assert await story.confirm(task.subject, at=65)
    assert (await story.job(task.subject)).state is JobState.SUBMITTED


async def test_an_unconfirmed_job_is_begun_again_only_when_the_policy_says_so(story: Story) -> None:
    task, claim = await claimed_job(story)
    await story.store.write(submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100)))
    for before in (None, ms(9)):
        claimed = await story.store.write(
            submissions.claim(task.subject, now=ms(50), until=ms(110), unconfirmed_before=before)
        )
        assert claimed.claim is None
    claimed = await story.store.write(
        submissions.claim(task.subject, now=ms(50), until=ms(110), unconfirmed_before=ms(10))
    )
    assert claimed.claim is not None
    assert claimed.job is not None
    assert claimed.job.submissions == 2


async def test_after_a_resubmission_either_request_may_end_the_job(story: Story) -> None:
    task, claim = await claimed_job(story)
    await story.store.write(submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(11)))
    await story.store.write(submissions.claim(task.subject, now=ms(20), until=ms(80), unconfirmed_before=ms(15)))
    assert await story.confirm(task.subject, "req-second", at=21)
    assert await story.report(task.subject, request_id="req-first") == "recorded"
    job = await story.job(task.subject)
    assert (job.provider_request_id, job.submitted_at) == ("req-first", ms(21))


async def test_putting_back_takes_the_submission_off_the_count(story: Story) -> None:
    task, claim = await claimed_job(story)
    assert await story.store.write(submissions.return_to_accepted(task, claim=claim, now=ms(2), due_at=ms(5)))
    job = await story.job(task.subject)
    assert (job.state, job.submissions) == (JobState.ACCEPTED, 0)
    assert await story.fetch("submit", at=4) == []
    [again] = await story.fetch("submit", at=5)
    assert again.tries == 1


async def test_a_request_id_of_another_job_confirms_nothing(story: Story) -> None:
    await story.submit("req-1")
    other = await story.accept()
    await story.begin(other)
    assert await story.confirm(other, "req-1") is False
    assert (await story.job(other)).state is JobState.SUBMITTING


async def test_the_history_tells_of_the_doubt(story: Story) -> None:
    task, claim = await claimed_job(story)
    await story.store.write(submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100)))
    await story.report(task.subject)
    assert await story.events(task.subject) == ["job.accepted", "job.unconfirmed", "job.completed"]


async def test_an_unconfirmed_job_has_the_reason_until_it_is_submitted_or_ends(story: Story) -> None:
    task, claim = await claimed_job(story)
    await story.store.write(submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100)))
    assert (await story.job(task.subject)).error == UNREAD
    await story.confirm(task.subject)
    assert (await story.job(task.subject)).error is None


async def test_a_job_whose_claim_ended_has_that_as_its_reason(story: Story) -> None:
    task, _ = await claimed_job(story)
    await story.store.write(submissions.claim(task.subject, now=ms(61), until=ms(121)))
    assert (await story.job(task.subject)).error == CLAIM_ENDED
    await story.report(task.subject)
    assert (await story.job(task.subject)).error is None


async def test_expiring_leaves_a_job_alone_that_moved_since_it_was_read(story: Story) -> None:
    task, claim = await claimed_job(story)
    await story.store.write(submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100)))
    read = await story.job(task.subject)
    await story.report(task.subject)
    late = Outcome.expired(JobError(fault=Fault.NETWORK, code="unconfirmed", message="nobody came"))
    assert (
        await story.store.write(outcomes.expire(task, late, last_transition=read.last_transition, now=ms(200))) is False
    )
    assert (await story.job(task.subject)).state is JobState.COMPLETED
