"""After the clock was set back nothing is lost or done twice, and pages are complete."""

from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.transitions import events, jobs, submissions
from tests.ledger.conftest import Scenario, ms

HOUR = 3600


async def test_pages_have_every_job_once_after_the_clock_was_set_back(scenario: Scenario) -> None:
    made = [await scenario.accept(at=at) for at in (0, 10, HOUR, HOUR + 10, 5, 20, 30)]
    seen: list[str] = []
    before = AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(scenario.store, limit=2, before=before):
        seen += [job.id for job in page]
        before = page[-1].id
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)


async def test_events_keep_their_order_after_the_clock_was_set_back(scenario: Scenario) -> None:
    job_id = await scenario.submit(at=HOUR)
    await scenario.report(job_id, at=5)
    found = await events.list_events(scenario.store, job_id)
    assert [event.type for event in found] == ["job.accepted", "job.submitted", "job.completed"]
    assert [event.sequence for event in found] == [1, 2, 3]
    assert [event.at for event in found] == [ms(HOUR), ms(HOUR), ms(5)]


async def test_a_leased_task_is_not_leased_again_after_the_clock_was_set_back(scenario: Scenario) -> None:
    await scenario.accept(at=HOUR)
    [task] = await scenario.fetch("submit", at=HOUR, until=HOUR + 60)
    assert await scenario.fetch("submit", at=5) == []
    assert await scenario.fetch("submit", at=HOUR + 59) == []
    [again] = await scenario.fetch("submit", at=HOUR + 60)
    assert (again.subject, again.lease == task.lease) == (task.subject, False)


async def test_only_tasks_from_before_wait_after_the_clock_was_set_back(scenario: Scenario) -> None:
    late = await scenario.accept(at=HOUR)
    early = await scenario.accept(at=5)
    assert [task.subject for task in await scenario.fetch("submit", at=6)] == [early]
    assert {task.subject for task in await scenario.fetch("submit", at=HOUR, until=HOUR + 1)} == {early, late}


async def claimed(scenario: Scenario, job_id: str, at: float) -> bool:
    result = await scenario.store.write(submissions.claim(job_id, now=ms(at), until=ms(at + 60)))
    return result.claim is not None


async def test_a_claim_holds_until_its_end_after_the_clock_was_set_back(scenario: Scenario) -> None:
    job_id = await scenario.accept(at=HOUR)
    claim = await scenario.begin(job_id, at=HOUR, until=HOUR + 60)
    assert (await scenario.job(job_id)).last_transition == claim
    assert not await claimed(scenario, job_id, at=5)
    assert (await scenario.job(job_id)).state == "submitting"
    assert not await claimed(scenario, job_id, at=HOUR + 60)
    assert (await scenario.job(job_id)).state == "unconfirmed"
