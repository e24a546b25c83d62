"""Deliveries: one id for all attempts, retries, dead letters, and replays."""

import pytest

from ledger.requests import Attempted, Task
from ledger.rows import Delivery, DueDelivery
from ledger.transitions import deliveries, endpoints
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from tests.ledger.conftest import Scenario, ms

RELEASED = ms(33)
REFUSED = Attempted(at=ms(31), latency_ms=12, status=500, error=None, response=b"no")


@pytest.fixture
async def pending(scenario: Scenario) -> Delivery:
    """Return the one delivery of a submitted job, which is pending."""
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    [delivery] = await deliveries.list_deliveries_of_subject(scenario.store, await scenario.submit())
    return delivery


async def leased(scenario: Scenario, at: float) -> Task:
    [task] = await scenario.fetch("deliver", at=at)
    assert task.subject == SETTINGS_ENDPOINT
    return task


async def release(scenario: Scenario, task: Task) -> None:
    await scenario.store.write(deliveries.release(task, now=RELEASED))


async def due(scenario: Scenario, at: float) -> list[DueDelivery]:
    return await deliveries.read_due(scenario.store, SETTINGS_ENDPOINT, now=ms(at), limit=10)


async def current(scenario: Scenario, pending: Delivery) -> Delivery:
    found = await deliveries.read_delivery(scenario.store, pending.id)
    assert found is not None
    return found


async def test_the_id_names_the_job_the_event_and_the_endpoint(pending: Delivery) -> None:
    assert pending.id == f"msg_{pending.subject}_2_settings"
    assert "." not in pending.id  # Standard Webhooks signs id.timestamp.body


async def test_the_deliveries_of_a_job_are_listed_by_its_complete_id(scenario: Scenario, pending: Delivery) -> None:
    for other in (
        pending.subject.replace("job_", "foo_"),
        f"{pending.subject}_2",
        pending.subject[:-1],
        f"{pending.subject}0",
    ):
        assert await deliveries.list_deliveries_of_subject(scenario.store, other) == []


async def test_a_failed_attempt_is_kept_and_the_next_one_has_the_same_id(scenario: Scenario, pending: Delivery) -> None:
    await scenario.store.write(deliveries.retry(pending.id, REFUSED, due_at=ms(40)))
    assert await due(scenario, 39) == []
    [delivery] = await due(scenario, 40)
    assert (delivery.delivery_id, delivery.failures) == (pending.id, 1)
    [attempt] = await deliveries.list_attempts(scenario.store, pending.id)
    assert (attempt.number, attempt.status, attempt.response) == (1, 500, b"no")


async def test_one_worker_at_a_time_has_the_lease_of_an_endpoint(scenario: Scenario, pending: Delivery) -> None:
    await leased(scenario, 31)
    await scenario.submit("req-2", at=32)  # more for the same endpoint
    assert await scenario.fetch("deliver", at=33) == []
    assert len(await due(scenario, 33)) == 2  # both are for the worker that has the lease


async def test_a_released_endpoint_comes_due_with_its_next_delivery(scenario: Scenario, pending: Delivery) -> None:
    task = await leased(scenario, 31)
    await scenario.store.write(deliveries.retry(pending.id, REFUSED, due_at=ms(40)))
    await release(scenario, task)
    assert await scenario.fetch("deliver", at=39) == []
    await leased(scenario, 40)


async def test_a_released_endpoint_with_a_backlog_comes_due_behind_those_that_waited(
    scenario: Scenario, pending: Delivery
) -> None:
    """Or a few dead endpoints with old deliveries would be taken up again and again before anybody else."""
    task = await leased(scenario, 31)
    await scenario.submit("req-2", at=32, notify=("https://other.example/",))
    await release(scenario, task)
    first, second = await scenario.fetch("deliver", at=33)
    assert first.subject != SETTINGS_ENDPOINT
    assert second.subject == SETTINGS_ENDPOINT


async def test_a_released_endpoint_with_nothing_pending_leaves_the_queue(scenario: Scenario, pending: Delivery) -> None:
    task = await leased(scenario, 31)
    await scenario.store.write(deliveries.finish(pending.id, REFUSED, "delivered", now=ms(32)))
    await release(scenario, task)
    assert await scenario.fetch("deliver", at=10_000) == []
    assert ((await current(scenario, pending)).state, (await current(scenario, pending)).attempts) == ("delivered", 1)


async def test_a_new_delivery_does_not_wait_for_the_retry_of_an_earlier_one(
    scenario: Scenario, pending: Delivery
) -> None:
    task = await leased(scenario, 31)
    await scenario.store.write(deliveries.retry(pending.id, REFUSED, due_at=ms(10_000)))
    await release(scenario, task)
    await scenario.submit("req-2", at=50)
    await leased(scenario, 50)


async def test_a_dead_delivery_is_listed_with_its_reason_and_replayed_under_its_id(
    scenario: Scenario, pending: Delivery
) -> None:
    task = await leased(scenario, 31)
    await scenario.store.write(deliveries.finish(pending.id, REFUSED, "dead", now=ms(32), reason="ten attempts failed"))
    await release(scenario, task)
    [dead] = await deliveries.list_deliveries(scenario.store, state="dead", limit=10)
    assert (dead.id, dead.reason) == (pending.id, "ten attempts failed")
    assert await scenario.store.write(deliveries.replay(pending.id, now=ms(50)))
    await leased(scenario, 50)
    [delivery] = await due(scenario, 50)
    assert (delivery.delivery_id, delivery.failures) == (pending.id, 0)


async def test_replaying_a_pending_delivery_changes_nothing(scenario: Scenario, pending: Delivery) -> None:
    await leased(scenario, 31)
    assert await scenario.store.write(deliveries.replay(pending.id, now=ms(50))) is False
    assert await scenario.fetch("deliver", at=60) == []  # still held


async def gone(scenario: Scenario) -> None:
    [delivery] = await due(scenario, 31)
    await scenario.store.write(deliveries.disable_endpoint(delivery, REFUSED, reason="410 Gone", now=ms(32)))


@pytest.mark.usefixtures("pending")
async def test_status_410_disables_the_endpoint_and_later_deliveries_are_dead_at_once(scenario: Scenario) -> None:
    await gone(scenario)
    later = await scenario.submit("req-2", at=40)
    [made] = await deliveries.list_deliveries_of_subject(scenario.store, later)
    assert (made.state, made.reason) == ("dead", "410 Gone")


async def test_a_replay_enables_an_endpoint_that_answered_410(scenario: Scenario, pending: Delivery) -> None:
    await gone(scenario)
    assert await scenario.store.write(deliveries.replay(pending.id, now=ms(50)))
    [delivery] = await due(scenario, 50)
    assert delivery.endpoint.disabled_reason is None


async def test_a_new_notify_url_gets_what_was_pending_for_the_old_one(scenario: Scenario, pending: Delivery) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://new.example/hooks", now=ms(40)))
    [delivery] = await due(scenario, 50)
    assert delivery.endpoint.url == "https://new.example/hooks"
