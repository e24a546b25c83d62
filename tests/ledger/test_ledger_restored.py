"""A database restored from a backup: every job that would be submitted becomes unconfirmed, whatever their number."""

from ledger.ledger import Ledger
from ledger.records import JobState
from ledger.storage.store import Store
from ledger.transitions import queue
from tests.conftest import NOON, Clock
from tests.ledger.conftest import Story, ms


async def test_accepted_and_submitting_jobs_become_unconfirmed_and_others_stay(store: Store, story: Story) -> None:
    accepted, submitting = await story.accept(), await story.accept()
    await story.begin(submitting)
    submitted, ended = await story.submit("req-1"), await story.submit("req-2")
    await story.report(ended, request_id="req-2")
    before = [await story.job(job_id) for job_id in (submitted, ended)]
    assert await Ledger(store, lambda: ms(100)).mark_restored() == 2
    for job_id in (accepted, submitting):
        job = await story.job(job_id)
        assert (job.state, job.submissions, job.claimed_until) == (JobState.UNCONFIRMED, 1, None)
        assert job.unconfirmed_at == ms(100)
        assert (await story.events(job_id))[-1] == "job.unconfirmed"
    assert [await story.job(job_id) for job_id in (submitted, ended)] == before
    assert await Ledger(store, lambda: ms(100)).mark_restored() == 0


async def test_a_job_that_is_unconfirmed_by_a_restore_is_not_claimed_without_the_policy(story: Story) -> None:
    job_id = await story.accept()
    await Ledger(story.store, lambda: ms(100)).mark_restored()
    assert [task.subject for task in await story.fetch("submit", at=101)] == [job_id]
    assert not await claimed(story, job_id)
    assert await story.confirm(job_id)  # the answer of the request that was lost would count


async def claimed(story: Story, job_id: str) -> bool:
    ledger = Ledger(story.store, lambda: ms(101))
    return (await ledger.claim(job_id, claim="claim_x", until=ms(161))).claim is not None


async def test_more_jobs_than_a_page_are_marked(store: Store, story: Story, clock: Clock) -> None:
    number = queue.PAGE + 1
    for _ in range(number):
        await story.accept()
    assert await Ledger(store, clock).mark_restored() == number
    assert clock.now == NOON
