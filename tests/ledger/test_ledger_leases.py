"""Leases: one worker at a time has a task, until the lease ends or, on SQLite, a process starts."""

from pathlib import Path

from ledger.requests import Task
from ledger.sqlite.store import SQLiteStore, open_sqlite
from ledger.transitions import deliveries, endpoints
from ledger.transitions import queue as work
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.conftest import PROVIDERS
from tests.ledger.conftest import Scenario, ms


async def test_a_task_is_fetched_again_when_its_lease_ends(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    [first] = await scenario.fetch("submit", at=1, until=31)
    assert await scenario.fetch("submit", at=30) == []
    [second] = await scenario.fetch("submit", at=31)
    assert (first.subject, second.subject) == (job_id, job_id)
    assert first.lease != second.lease


async def test_a_worker_whose_lease_has_ended_can_neither_finish_nor_reschedule(scenario: Scenario) -> None:
    await scenario.accept()
    [stale] = await scenario.fetch("submit", at=1, until=31)
    [current] = await scenario.fetch("submit", at=31, until=61)
    await scenario.store.write(work.finish(stale))
    await scenario.store.write(work.reschedule(stale, due_at=ms(9_999), failed=True))
    [again] = await scenario.fetch("submit", at=61)
    assert again.tries == current.tries == 0


async def test_a_worker_whose_lease_has_ended_cannot_release_the_endpoint(scenario: Scenario) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    await scenario.submit()

    async def held(at: float) -> Task:
        [task] = await scenario.fetch("deliver", at=at)
        assert task.subject == SETTINGS_ENDPOINT
        return task

    stale = await held(31)
    current = await held(31 + 60)
    await scenario.store.write(deliveries.release(stale, now=ms(33)))
    assert await scenario.fetch("deliver", at=100) == []
    await scenario.store.write(deliveries.release(current, now=ms(33)))
    await held(100)


async def test_the_longest_due_task_is_fetched_first(scenario: Scenario) -> None:
    ids = [await scenario.accept(at=n) for n in (3, 1, 2)]
    fetched = await scenario.fetch("submit", at=10, limit=2)
    assert {task.subject for task in fetched} == {ids[1], ids[2]}


async def test_a_renewed_lease_ends_later_unless_another_worker_has_the_task(scenario: Scenario) -> None:
    one, other = await scenario.accept(), await scenario.accept()
    renewed, lost = await scenario.fetch("submit", at=1, until=31)
    assert {renewed.subject, lost.subject} == {one, other}
    await scenario.store.write(work.renew([renewed], until=ms(61)))
    [taken] = await scenario.fetch("submit", at=31, until=61)
    assert taken.subject == lost.subject
    await scenario.store.write(work.renew([renewed, lost], until=ms(91)))
    assert [task.subject for task in await scenario.fetch("submit", at=61)] == [lost.subject]
    assert [task.subject for task in await scenario.fetch("submit", at=91)] == [renewed.subject]


async def test_a_report_without_a_result_ends_the_lease_of_a_running_poll(scenario: Scenario) -> None:
    job_id = await scenario.submit()
    [running] = await scenario.fetch("poll", at=100)
    assert await scenario.report(job_id, None, at=101) == "pending"
    await scenario.store.write(work.reschedule(running, due_at=ms(900), failed=False))
    assert [task.subject for task in await scenario.fetch("poll", at=101)] == [job_id]


async def test_opening_a_file_ends_every_lease_and_claim(tmp_path: Path) -> None:
    """The lock proves that no other process holds them. On Postgres other processes may."""
    store: SQLiteStore = await open_sqlite(tmp_path / "ledger.db", now=ms(0), providers=PROVIDERS)
    scenario = Scenario(store)
    job_id = await scenario.accept()
    await scenario.fetch("submit", at=1, until=1_000)
    await scenario.begin(job_id, at=1, until=1_000)
    await store.close()
    scenario = Scenario(await open_sqlite(tmp_path / "ledger.db", now=ms(5), providers=PROVIDERS))
    assert [task.subject for task in await scenario.fetch("submit", at=5)] == [job_id]
    assert (await scenario.job(job_id)).claimed_until == ms(5)
    await scenario.store.close()
