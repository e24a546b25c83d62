"""A delivery is sent under one id or lies dead where an operator sees it; it is never dropped in silence."""

import msgspec
import pytest

from ledger.requests import Attempted, DeliveryFilter, Ending, Task
from ledger.rows import Delivery, DueDelivery
from ledger.transitions import deliveries, endpoints
from ledger.transitions.delivery_lists import list_deliveries
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.ledger.conftest import Story, ms

RELEASED = ms(33)
REFUSED = Attempted(at=ms(31), latency_ms=12, status=500, error=None, response=b"no")


@pytest.fixture
async def told(story: Story) -> Delivery:
    """The one delivery of a submitted job."""
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    [delivery] = await deliveries.list_deliveries_of_subject(story.store, await story.submit())
    return delivery


async def held(story: Story, at: float) -> Task:
    [task] = await story.fetch("deliver", at=at)
    assert task.subject == SETTINGS_ENDPOINT
    return task


async def release(story: Story, task: Task) -> None:
    await story.store.write(deliveries.release(task, now=RELEASED))


async def due(story: Story, at: float) -> list[DueDelivery]:
    return await deliveries.read_due(story.store, SETTINGS_ENDPOINT, now=ms(at), limit=10)


async def now(story: Story, told: Delivery) -> Delivery:
    found = await deliveries.read_delivery(story.store, told.id)
    assert found is not None
    return found


async def test_the_id_names_the_job_the_event_and_the_endpoint(told: Delivery) -> None:
    assert told.id == f"msg_{told.subject}_2_settings"
    assert "." not in told.id  # Standard Webhooks signs id.timestamp.body


async def test_the_deliveries_of_a_job_are_asked_for_by_its_whole_id(story: Story, told: Delivery) -> None:
    for other in (told.subject.replace("job_", "foo_"), f"{told.subject}_2", told.subject[:-1], f"{told.subject}0"):
        assert await deliveries.list_deliveries_of_subject(story.store, other) == []


async def test_a_failed_attempt_is_kept_and_the_next_one_has_the_same_id(story: Story, told: Delivery) -> None:
    await story.store.write(deliveries.retry(told.id, REFUSED, due_at=ms(40)))
    assert await due(story, 39) == []
    [delivery] = await due(story, 40)
    assert (delivery.delivery_id, delivery.failures) == (told.id, 1)
    [attempt] = await deliveries.list_attempts(story.store, told.id)
    assert (attempt.number, attempt.status, attempt.response) == (1, 500, b"no")


async def test_one_worker_at_a_time_holds_an_endpoint(story: Story, told: Delivery) -> None:
    await held(story, 31)
    await story.submit("req-2", at=32)  # more for the same endpoint
    assert await story.fetch("deliver", at=33) == []
    assert len(await due(story, 33)) == 2  # the holder sees both


async def test_a_released_endpoint_comes_due_with_its_next_delivery(story: Story, told: Delivery) -> None:
    task = await held(story, 31)
    await story.store.write(deliveries.retry(told.id, REFUSED, due_at=ms(40)))
    await release(story, task)
    assert await story.fetch("deliver", at=39) == []
    await held(story, 40)


async def test_a_released_endpoint_with_a_backlog_comes_due_behind_those_that_waited(
    story: Story, told: Delivery
) -> None:
    """Or a few dead endpoints with old deliveries would be taken up again and again before anybody else."""
    task = await held(story, 31)
    await story.submit("req-2", at=32, notify=("https://other.example/",))
    await release(story, task)
    first, second = await story.fetch("deliver", at=33)
    assert first.subject != SETTINGS_ENDPOINT
    assert second.subject == SETTINGS_ENDPOINT


async def test_a_released_endpoint_with_nothing_pending_leaves_the_queue(story: Story, told: Delivery) -> None:
    task = await held(story, 31)
    await story.store.write(deliveries.finish(told.id, REFUSED, "delivered", now=ms(32)))
    await release(story, task)
    assert await story.fetch("deliver", at=10_000) == []
    assert ((await now(story, told)).state, (await now(story, told)).attempts) == ("delivered", 1)


async def test_what_comes_while_an_endpoint_waits_for_a_retry_does_not_wait_with_it(
    story: Story, told: Delivery
) -> None:
    task = await held(story, 31)
    await story.store.write(deliveries.retry(told.id, REFUSED, due_at=ms(10_000)))
    await release(story, task)
    await story.submit("req-2", at=50)
    await held(story, 50)


async def test_a_dead_one_is_listed_with_its_reason_and_can_be_replayed_under_its_id(
    story: Story, told: Delivery
) -> None:
    task = await held(story, 31)
    await story.store.write(deliveries.finish(told.id, REFUSED, "dead", now=ms(32), reason="ten attempts failed"))
    await release(story, task)
    [dead] = (await list_deliveries(story.store, DeliveryFilter(state="dead"), limit=10)).deliveries
    assert (dead.id, dead.reason, dead.due_at) == (told.id, "ten attempts failed", None)
    assert await story.store.write(deliveries.replay([dead], now=ms(50))) == 1
    await held(story, 50)
    [delivery] = await due(story, 50)
    assert (delivery.delivery_id, delivery.failures) == (told.id, 0)


async def test_a_replay_of_what_is_attempted_leaves_the_endpoint_to_its_worker(story: Story, told: Delivery) -> None:
    await held(story, 31)
    assert await story.store.write(deliveries.replay([told], now=ms(50))) == 1
    assert await story.fetch("deliver", at=60) == []  # still held
    [delivery] = await due(story, 50)
    assert delivery.delivery_id == told.id


async def test_a_pending_delivery_that_waits_for_its_next_attempt_is_due_now_when_it_is_replayed(
    story: Story, told: Delivery
) -> None:
    task = await held(story, 31)
    await story.store.write(deliveries.retry(told.id, REFUSED, due_at=ms(10_000)))
    await release(story, task)
    [waiting] = await deliveries.list_deliveries_of_subject(story.store, told.subject)
    assert (waiting.state, waiting.due_at) == ("pending", ms(10_000))
    assert await story.store.write(deliveries.replay([waiting], now=ms(50))) == 1
    await held(story, 50)
    [delivery] = await due(story, 50)
    assert (delivery.delivery_id, delivery.attempts, delivery.failures) == (told.id, 1, 0)


@pytest.mark.parametrize("ending", ["delivered", "dead", "discarded"])
async def test_a_delivery_that_ended_is_pending_again_when_it_is_replayed(
    story: Story, told: Delivery, ending: Ending
) -> None:
    task = await held(story, 31)
    await story.store.write(deliveries.finish(told.id, REFUSED, ending, now=ms(32), reason="why"))
    await release(story, task)
    assert await story.store.write(deliveries.replay([told], now=ms(40))) == 0  # it is not what was read
    [ended] = await deliveries.list_deliveries_of_subject(story.store, told.subject)
    assert await story.store.write(deliveries.replay([ended], now=ms(50))) == 1
    [again] = await deliveries.list_deliveries_of_subject(story.store, told.subject)
    assert again == msgspec.structs.replace(told, attempts=1, due_at=ms(50))
    await held(story, 50)


async def test_a_delivery_of_an_endpoint_that_was_removed_is_not_replayed_until_there_is_one_again(
    story: Story, told: Delivery
) -> None:
    await story.store.write(endpoints.remove_settings_endpoint(now=ms(40)))
    [discarded] = await deliveries.list_deliveries_of_subject(story.store, told.subject)
    assert (discarded.state, await story.store.write(deliveries.replay([discarded], now=ms(50)))) == ("discarded", 0)
    await story.store.write(endpoints.put_settings_endpoint("https://new.example/hooks", now=ms(60)))
    assert await story.store.write(deliveries.replay([discarded], now=ms(70))) == 1


async def gone(story: Story) -> None:
    [delivery] = await due(story, 31)
    await story.store.write(deliveries.disable_endpoint(delivery, REFUSED, reason="410 Gone", now=ms(32)))


@pytest.mark.usefixtures("told")
async def test_gone_disables_the_endpoint_and_later_deliveries_are_dead_at_once(story: Story) -> None:
    await gone(story)
    later = await story.submit("req-2", at=40)
    [born] = await deliveries.list_deliveries_of_subject(story.store, later)
    assert (born.state, born.reason) == ("dead", "410 Gone")


async def test_a_replay_enables_an_endpoint_that_was_gone(story: Story, told: Delivery) -> None:
    await gone(story)
    [dead] = await deliveries.list_deliveries_of_subject(story.store, told.subject)
    assert await story.store.write(deliveries.replay([dead], now=ms(50))) == 1
    [delivery] = await due(story, 50)
    assert delivery.endpoint.disabled_reason is None


async def test_a_new_notify_url_gets_what_was_pending_for_the_old_one(story: Story, told: Delivery) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://new.example/hooks", now=ms(40)))
    [delivery] = await due(story, 50)
    assert delivery.endpoint.url == "https://new.example/hooks"
