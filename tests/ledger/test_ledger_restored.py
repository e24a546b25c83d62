"""A database restored from a backup: every job that would be submitted becomes unconfirmed, whatever their number."""

from ledger.ledger import Ledger
from ledger.records import JobState
from ledger.storage.store import Store
from ledger.transitions import queue
from tests.conftest import NOON, Clock
from tests.ledger.conftest import Scenario, ms


async def test_accepted_and_submitting_jobs_become_unconfirmed_and_others_stay(
    store: Store, scenario: Scenario
) -> None:
    accepted, submitting = await scenario.accept(), await scenario.accept()
    await scenario.begin(submitting)
    submitted, ended = await scenario.submit("req-1"), await scenario.submit("req-2")
    await scenario.report(ended, request_id="req-2")
    before = [await scenario.job(job_id) for job_id in (submitted, ended)]
    assert await Ledger(store, lambda: ms(100)).mark_restored() == 2
    for job_id in (accepted, submitting):
        job = await scenario.job(job_id)
        assert (job.state, job.submissions, job.claimed_until) == (JobState.UNCONFIRMED, 1, None)
        assert job.unconfirmed_at == ms(100)
        assert (await scenario.events(job_id))[-1] == "job.unconfirmed"
    assert [await scenario.job(job_id) for job_id in (submitted, ended)] == before
    assert await Ledger(store, lambda: ms(100)).mark_restored() == 0


async def test_a_job_that_is_unconfirmed_by_a_restore_is_not_claimed_without_the_policy(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    await Ledger(scenario.store, lambda: ms(100)).mark_restored()
    assert [task.subject for task in await scenario.fetch("submit", at=101)] == [job_id]
    assert not await claimed(scenario, job_id)
    assert await scenario.confirm(job_id)  # the answer of the request that was lost would count


async def claimed(scenario: Scenario, job_id: str) -> bool:
    ledger = Ledger(scenario.store, lambda: ms(101))
    return (await ledger.claim(job_id, claim="claim_x", until=ms(161))).claim is not None


async def test_more_jobs_than_a_page_are_marked(store: Store, scenario: Scenario, clock: Clock) -> None:
    number = queue.PAGE + 1
    for _ in range(number):
        await scenario.accept()
    assert await Ledger(store, clock).mark_restored() == number
    assert clock.now == NOON
