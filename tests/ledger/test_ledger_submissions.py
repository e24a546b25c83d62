"""Claims: one worker at a time may submit a job, and only while its claim holds."""

from ledger.records import Fault, JobError, JobState, Outcome
from ledger.requests import CLAIM_ENDED, Task
from ledger.transitions import outcomes, submissions
from tests.ledger.conftest import BROKEN, UNREAD, Scenario, ms


async def claimed_job(scenario: Scenario) -> tuple[Task, str]:
    job_id = await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    return task, await scenario.begin(job_id)


async def test_only_one_of_two_workers_gets_the_claim(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    first = await scenario.store.write(submissions.claim(job_id, now=ms(1), until=ms(61)))
    second = await scenario.store.write(submissions.claim(job_id, now=ms(2), until=ms(62)))
    assert first.claim is not None
    assert second.claim is None
    assert second.job is not None
    assert second.job.state is JobState.SUBMITTING


async def test_a_worker_whose_claim_has_ended_changes_nothing(scenario: Scenario) -> None:
    task, stale = await claimed_job(scenario)
    await scenario.store.write(submissions.claim(task.subject, now=ms(61), until=ms(121)))
    before = await scenario.job(task.subject)
    assert before.state is JobState.UNCONFIRMED
    for transaction in (
        submissions.return_to_accepted(task, claim=stale, error=UNREAD, now=ms(62), due_at=ms(63)),
        submissions.mark_unconfirmed(task, claim=stale, error=UNREAD, now=ms(62), due_at=ms(63)),
        outcomes.refuse(task, BROKEN, claim=stale, now=ms(62)),
    ):
        assert await scenario.store.write(transaction) is False
    assert await scenario.job(task.subject) == before


async def test_a_response_after_the_end_of_the_claim_still_confirms_the_job(scenario: Scenario) -> None:
    task, _ = await claimed_job(scenario)
    await scenario.store.write(submissions.claim(task.subject, now=ms(61), until=ms(121)))
    assert await scenario.confirm(task.subject, at=65)
    assert (await scenario.job(task.subject)).state is JobState.SUBMITTED


async def test_an_unconfirmed_job_is_claimed_again_only_if_the_policy_allows_it(scenario: Scenario) -> None:
    task, claim = await claimed_job(scenario)
    await scenario.store.write(
        submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100))
    )
    for before in (None, ms(9)):
        claimed = await scenario.store.write(
            submissions.claim(task.subject, now=ms(50), until=ms(110), unconfirmed_before=before)
        )
        assert claimed.claim is None
    claimed = await scenario.store.write(
        submissions.claim(task.subject, now=ms(50), until=ms(110), unconfirmed_before=ms(10))
    )
    assert claimed.claim is not None
    assert claimed.job is not None
    assert claimed.job.submissions == 2


async def test_after_a_resubmission_either_request_may_end_the_job(scenario: Scenario) -> None:
    task, claim = await claimed_job(scenario)
    await scenario.store.write(submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(11)))
    await scenario.store.write(submissions.claim(task.subject, now=ms(20), until=ms(80), unconfirmed_before=ms(15)))
    assert await scenario.confirm(task.subject, "req-second", at=21)
    assert await scenario.report(task.subject, request_id="req-first") == "recorded"
    job = await scenario.job(task.subject)
    assert (job.provider_request_id, job.submitted_at) == ("req-first", ms(21))


async def test_returning_a_job_to_accepted_does_not_count_the_submission(scenario: Scenario) -> None:
    task, claim = await claimed_job(scenario)
    returned = submissions.return_to_accepted(task, claim=claim, error=UNREAD, now=ms(2), due_at=ms(5))
    assert await scenario.store.write(returned)
    job = await scenario.job(task.subject)
    assert (job.state, job.submissions) == (JobState.ACCEPTED, 0)
    assert await scenario.fetch("submit", at=4) == []
    [again] = await scenario.fetch("submit", at=5)
    assert again.tries == 1


async def test_a_request_id_of_another_job_confirms_nothing(scenario: Scenario) -> None:
    await scenario.submit("req-1")
    other = await scenario.accept()
    await scenario.begin(other)
    assert await scenario.confirm(other, "req-1") is False
    assert (await scenario.job(other)).state is JobState.SUBMITTING


async def test_the_events_of_a_job_include_that_it_was_unconfirmed(scenario: Scenario) -> None:
    task, claim = await claimed_job(scenario)
    await scenario.store.write(
        submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100))
    )
    await scenario.report(task.subject)
    assert await scenario.events(task.subject) == ["job.accepted", "job.unconfirmed", "job.completed"]


async def test_an_unconfirmed_job_has_an_error_until_it_is_submitted_or_ends(scenario: Scenario) -> None:
    task, claim = await claimed_job(scenario)
    await scenario.store.write(
        submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100))
    )
    assert (await scenario.job(task.subject)).error == UNREAD
    await scenario.confirm(task.subject)
    assert (await scenario.job(task.subject)).error is None


async def test_a_job_whose_claim_ended_has_the_end_as_its_error(scenario: Scenario) -> None:
    task, _ = await claimed_job(scenario)
    await scenario.store.write(submissions.claim(task.subject, now=ms(61), until=ms(121)))
    assert (await scenario.job(task.subject)).error == CLAIM_ENDED
    await scenario.report(task.subject)
    assert (await scenario.job(task.subject)).error is None


async def test_a_job_that_changed_since_it_was_read_does_not_expire(scenario: Scenario) -> None:
    task, claim = await claimed_job(scenario)
    await scenario.store.write(
        submissions.mark_unconfirmed(task, claim=claim, error=UNREAD, now=ms(10), due_at=ms(100))
    )
    read = await scenario.job(task.subject)
    await scenario.report(task.subject)
    late = Outcome.expired(JobError(fault=Fault.NETWORK, code="unconfirmed", message="no callback"))
    assert (
        await scenario.store.write(outcomes.expire(task, late, last_transition=read.last_transition, now=ms(200)))
        is False
    )
    assert (await scenario.job(task.subject)).state is JobState.COMPLETED
