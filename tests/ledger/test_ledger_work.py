"""Leases: what is fetched is nobody else's until its time is over, and waiting is not failing."""

from ledger import work
from ledger.sqlite import SQLiteStore
from tests.ledger.conftest import Story, ms


async def test_what_is_fetched_is_not_fetched_again_until_the_lease_ends(story: Story) -> None:
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
    await story.store.write(work.postpone(stale, due_at=ms(9_999), failed=True))
    [again] = await story.fetch("submit", at=61)
    assert again.tries == current.tries == 0


async def test_waiting_does_not_count_as_a_try_and_failing_does(story: Story) -> None:
    await story.accept()
    [task] = await story.fetch("submit", at=1)
    await story.store.write(work.postpone(task, due_at=ms(5), failed=False))
    assert await story.fetch("submit", at=4) == []
    [task] = await story.fetch("submit", at=5)
    assert task.tries == 0
    await story.store.write(work.postpone(task, due_at=ms(6), failed=True))
    [task] = await story.fetch("submit", at=6)
    assert task.tries == 1


async def test_the_oldest_due_comes_first_and_no_more_than_asked_for(story: Story) -> None:
    ids = [await story.accept(at=n) for n in (3, 1, 2)]
    fetched = await story.store.write(work.fetch("submit", now=ms(10), until=ms(20), limit=2))
    assert {task.subject for task in fetched} == {ids[1], ids[2]}


async def test_kinds_do_not_see_each_other(story: Story) -> None:
    await story.accept()
    assert await story.fetch("check", at=10) == []
    assert await story.fetch("deliver", at=10) == []


async def test_at_start_every_lease_and_claim_ends(story: Story, store: SQLiteStore) -> None:
    job_id = await story.accept()
    [_] = await story.fetch("submit", at=1, until=1_000)
    await story.begin(job_id, at=1, until=1_000)
    await store.write(work.end_leases(now=ms(5)))
    assert [task.subject for task in await story.fetch("submit", at=5)] == [job_id]
    assert (await story.job(job_id)).claimed_until == ms(5)
