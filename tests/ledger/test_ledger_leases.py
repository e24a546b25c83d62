"""Leases: what is fetched is nobody else's until its lease ends, by time or because the one process begins."""

from pathlib import Path

from ledger.requests import Task
from ledger.sqlite.store import SQLiteStore, open_sqlite
from ledger.transitions import deliveries, endpoints
from ledger.transitions import queue as work
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.conftest import PROVIDERS
from tests.ledger.conftest import Story, ms


async def test_what_is_fetched_is_fetched_again_when_the_lease_ends(story: Story) -> None:
    job_id = await story.accept()
    [first] = await story.fetch("submit", at=1, until=31)
    assert await story.fetch("submit", at=30) == []
    [second] = await story.fetch("submit", at=31)
    assert (first.subject, second.subject) == (job_id, job_id)
    assert first.lease != second.lease


async def test_a_worker_whose_lease_is_over_can_neither_finish_nor_postpone(story: Story) -> None:
    await story.accept()
    [stale] = await story.fetch("submit", at=1, until=31)
    [current] = await story.fetch("submit", at=31, until=61)
    await story.store.write(work.finish(stale))
    await story.store.write(work.reschedule(stale, due_at=ms(9_999), failed=True))
    [again] = await story.fetch("submit", at=61)
    assert again.tries == current.tries == 0


async def test_a_worker_that_lost_its_endpoint_cannot_release_it(story: Story) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    await story.submit()

    async def held(at: float) -> Task:
        [task] = await story.fetch("deliver", at=at)
        assert task.subject == SETTINGS_ENDPOINT
        return task

    stale = await held(31)
    current = await held(31 + 60)
    await story.store.write(deliveries.release(stale, now=ms(33)))
    assert await story.fetch("deliver", at=100) == []
    await story.store.write(deliveries.release(current, now=ms(33)))
    await held(100)


async def test_the_oldest_due_comes_first(story: Story) -> None:
    ids = [await story.accept(at=n) for n in (3, 1, 2)]
    fetched = await story.fetch("submit", at=10, limit=2)
    assert {task.subject for task in fetched} == {ids[1], ids[2]}


async def test_a_lease_that_is_renewed_ends_later_unless_another_has_it(story: Story) -> None:
    one, other = await story.accept(), await story.accept()
    renewed, lost = await story.fetch("submit", at=1, until=31)
    assert {renewed.subject, lost.subject} == {one, other}
    await story.store.write(work.renew([renewed], until=ms(61)))
    [taken] = await story.fetch("submit", at=31, until=61)
    assert taken.subject == lost.subject
    await story.store.write(work.renew([renewed, lost], until=ms(91)))
    assert [task.subject for task in await story.fetch("submit", at=61)] == [lost.subject]
    assert [task.subject for task in await story.fetch("submit", at=91)] == [renewed.subject]


async def test_a_report_without_the_result_takes_the_lease_of_a_poll_that_runs(story: Story) -> None:
    job_id = await story.submit()
    [running] = await story.fetch("poll", at=100)
    assert await story.report(job_id, None, at=101) == "pending"
    await story.store.write(work.reschedule(running, due_at=ms(900), failed=False))
    assert [task.subject for task in await story.fetch("poll", at=101)] == [job_id]


async def test_opening_a_file_ends_every_lease_and_claim(tmp_path: Path) -> None:
    """Its lock is ours: whoever held them is gone. On Postgres, others may be at work."""
    store: SQLiteStore = await open_sqlite(tmp_path / "ledger.db", now=ms(0), providers=PROVIDERS)
    story = Story(store)
    job_id = await story.accept()
    await story.fetch("submit", at=1, until=1_000)
    await story.begin(job_id, at=1, until=1_000)
    await store.close()
    story = Story(await open_sqlite(tmp_path / "ledger.db", now=ms(5), providers=PROVIDERS))
    assert [task.subject for task in await story.fetch("submit", at=5)] == [job_id]
    assert (await story.job(job_id)).claimed_until == ms(5)
    await story.store.close()
