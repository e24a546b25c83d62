"""A delivery is sent under one id or lies dead where an operator sees it; it is never dropped in silence."""

import pytest

from ledger import deliveries
from ledger.deliveries import Attempted
from ledger.work import Task
from tests.ledger.conftest import Story, ms

REFUSED = Attempted(at=ms(31), latency_ms=12, status=500, error=None, response=b"no")


@pytest.fixture
async def task(story: Story) -> Task:
    await story.store.write(deliveries.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    await story.submit()
    [task] = await story.fetch("deliver", at=31)
    return task


async def test_the_id_names_the_job_the_event_and_the_endpoint(task: Task) -> None:
    assert task.subject.startswith("msg_")
    assert task.subject.endswith("_2_settings")
    assert "." not in task.subject  # Standard Webhooks signs id.timestamp.body


async def test_a_failed_attempt_is_kept_and_the_next_one_has_the_same_id(story: Story, task: Task) -> None:
    await story.store.write(deliveries.retry(task, REFUSED, due_at=ms(40)))
    [again] = await story.fetch("deliver", at=40)
    assert (again.subject, again.tries) == (task.subject, 1)
    [attempt] = await deliveries.list_attempts(story.store, task.subject)
    assert (attempt.number, attempt.status, attempt.response) == (1, 500, b"no")


async def test_a_delivered_one_leaves_the_queue(story: Story, task: Task) -> None:
    await story.store.write(deliveries.settle(task, REFUSED, "delivered", now=ms(32)))
    assert await story.fetch("deliver", at=10_000) == []
    letter = await deliveries.read_letter(story.store, task.subject)
    assert letter is not None
    assert (letter.state, letter.attempts) == ("delivered", 1)


async def test_a_dead_one_is_listed_with_its_reason_and_can_be_replayed_under_its_id(story: Story, task: Task) -> None:
    await story.store.write(deliveries.settle(task, REFUSED, "dead", now=ms(32), reason="ten attempts failed"))
    [dead] = await deliveries.list_deliveries(story.store, state="dead", limit=10)
    assert (dead.id, dead.reason) == (task.subject, "ten attempts failed")
    assert await story.store.write(deliveries.replay(task.subject, now=ms(50)))
    [again] = await story.fetch("deliver", at=50)
    assert (again.subject, again.tries) == (task.subject, 0)


async def test_replaying_what_is_under_way_disturbs_nothing(story: Story, task: Task) -> None:
    assert await story.store.write(deliveries.replay(task.subject, now=ms(50))) is False
    assert await story.fetch("deliver", at=60) == []  # still leased
    await story.store.write(deliveries.settle(task, None, "delivered", now=ms(61)))
    assert await story.fetch("deliver", at=10_000) == []


async def test_gone_disables_the_endpoint_and_later_events_are_born_dead(story: Story, task: Task) -> None:
    await story.store.write(deliveries.settle(task, REFUSED, "dead", now=ms(32), reason="410 Gone", gone=True))
    later = await story.submit("req-2", at=40)
    [born] = await deliveries.list_deliveries_of_job(story.store, later)
    assert (born.state, born.reason) == ("dead", "410 Gone")
    await story.store.write(deliveries.put_settings_endpoint("https://user.example/hooks", now=ms(60)))
    assert await story.store.write(deliveries.replay(born.id, now=ms(61)))


async def test_an_unset_notify_url_hears_of_nothing_more(story: Story, task: Task) -> None:
    await story.store.write(deliveries.put_settings_endpoint(None, now=ms(40)))
    later = await story.submit("req-2", at=50)
    assert await deliveries.list_deliveries_of_job(story.store, later) == []
    letter = await deliveries.read_letter(story.store, task.subject)
    assert letter is not None
    assert letter.removed_at == ms(40)


async def test_a_new_notify_url_gets_what_was_pending_for_the_old_one(story: Story, task: Task) -> None:
    await story.store.write(deliveries.put_settings_endpoint("https://new.example/hooks", now=ms(40)))
    letter = await deliveries.read_letter(story.store, task.subject)
    assert letter is not None
    assert letter.endpoint_url == "https://new.example/hooks"
