"""The work queue on both databases: nobody's twice, nobody else's kind, and waiting is not failing."""

from ledger.transitions import queue as work
from tests.ledger.conftest import Story, ms


async def test_what_is_fetched_is_not_fetched_again(story: Story) -> None:
    job_id = await story.accept()
    [task] = await story.fetch("submit", at=1)
    assert (task.kind, task.subject, task.tries) == ("submit", job_id, 0)
    assert await story.fetch("submit", at=30) == []


async def test_what_is_finished_is_gone(story: Story) -> None:
    await story.accept()
    [task] = await story.fetch("submit", at=1)
    await story.store.write(work.finish(task))
    assert await story.fetch("submit", at=10_000) == []


async def test_waiting_does_not_count_as_a_try_and_failing_does(story: Story) -> None:
    await story.accept()
    [task] = await story.fetch("submit", at=1)
    for at, failed, tries in ((5, False, 0), (6, True, 1), (7, True, 2), (8, False, 0)):
        await story.store.write(work.reschedule(task, due_at=ms(at), failed=failed))
        assert await story.fetch("submit", at=at - 0.1) == []
        [task] = await story.fetch("submit", at=at)
        assert task.tries == tries


async def test_no_more_are_fetched_than_asked_for(story: Story) -> None:
    ids = {await story.accept(at=n) for n in range(3)}
    fetched = await story.fetch("submit", at=10, limit=2)
    fetched += await story.fetch("submit", at=10)
    assert len(fetched) == 3
    assert {task.subject for task in fetched} == ids


async def test_kinds_do_not_see_each_other(story: Story) -> None:
    await story.accept()
    assert await story.fetch("poll", at=10) == []
    assert await story.fetch("deliver", at=10) == []


async def test_what_is_confirmed_need_not_be_submitted_but_looked_after(story: Story) -> None:
    job_id = await story.accept()
    [task] = await story.fetch("submit", at=1)
    await story.begin(job_id)
    await story.confirm(job_id)
    assert await story.fetch("submit", at=10_000) == []
    [task] = await story.fetch("poll", at=10_000)
    assert task.subject == job_id
