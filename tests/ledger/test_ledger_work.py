"""The work queue on both databases: fetching, finishing, rescheduling, and its kinds."""

from ledger.transitions import queue as work
from tests.ledger.conftest import Scenario, ms


async def test_a_leased_task_is_not_fetched_again(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    assert (task.kind, task.subject, task.tries) == ("submit", job_id, 0)
    assert await scenario.fetch("submit", at=30) == []


async def test_a_finished_task_is_deleted(scenario: Scenario) -> None:
    await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    await scenario.store.write(work.finish(task))
    assert await scenario.fetch("submit", at=10_000) == []


async def test_only_a_failure_counts_a_try(scenario: Scenario) -> None:
    await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    for at, failed, tries in ((5, False, 0), (6, True, 1), (7, True, 2), (8, False, 0)):
        await scenario.store.write(work.reschedule(task, due_at=ms(at), failed=failed))
        assert await scenario.fetch("submit", at=at - 0.1) == []
        [task] = await scenario.fetch("submit", at=at)
        assert task.tries == tries


async def test_at_most_the_limit_is_fetched(scenario: Scenario) -> None:
    ids = {await scenario.accept(at=n) for n in range(3)}
    fetched = await scenario.fetch("submit", at=10, limit=2)
    fetched += await scenario.fetch("submit", at=10)
    assert len(fetched) == 3
    assert {task.subject for task in fetched} == ids


async def test_only_tasks_of_the_kind_are_fetched(scenario: Scenario) -> None:
    await scenario.accept()
    assert await scenario.fetch("poll", at=10) == []
    assert await scenario.fetch("deliver", at=10) == []


async def test_a_confirmed_job_has_a_poll_task_and_no_submit_task(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    [task] = await scenario.fetch("submit", at=1)
    await scenario.begin(job_id)
    await scenario.confirm(job_id)
    assert await scenario.fetch("submit", at=10_000) == []
    [task] = await scenario.fetch("poll", at=10_000)
    assert task.subject == job_id
