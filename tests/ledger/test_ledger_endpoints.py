"""Endpoints: which of them receive an event, and how pending deliveries wait for a setting that is absent."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from ledger.errors import Contradiction
from ledger.requests import UNSIGNED, Attempted
from ledger.rows import Delivery
from ledger.storage.store import Store
from ledger.transitions import deliveries, endpoints, events, providers
from ledger.transitions.endpoints import NO_URL, SETTINGS_ENDPOINT
from tests.conftest import NOON
from tests.ledger import queues
from tests.ledger.conftest import Scenario, ms

URL, OTHER = "https://user.example/hooks", "https://other.example/hooks"
GONE = Attempted(at=ms(31), latency_ms=12, status=410, error=None, response=b"")
Count = Callable[[str], Awaitable[int]]


async def put(scenario: Scenario, url: str | None, at: float = 0) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint(url, now=ms(at)))


async def add(store: Store, endpoint_id: str, at: str = OTHER, /, **columns: object) -> None:
    """Insert an endpoint of source `api`."""
    row = {"id": endpoint_id, "url": at, "source": "api", "created_at": NOON} | columns
    marks = ", ".join(["%s"] * len(row))
    await queues.ask(store, f"INSERT INTO endpoints ({', '.join(row)}) VALUES ({marks})", *row.values())


async def made(scenario: Scenario, job_id: str) -> list[Delivery]:
    return await deliveries.list_deliveries_of_subject(scenario.store, job_id)


async def received(scenario: Scenario, job_id: str) -> list[str]:
    return [f"{each.sequence} {each.endpoint_id}" for each in await made(scenario, job_id)]


# --- which endpoints receive an event -------------------------------------------------------------------------------


async def test_a_job_of_an_unknown_provider_is_refused_until_it_is_registered(scenario: Scenario) -> None:
    with pytest.raises(Contradiction):
        await scenario.accept(provider="replicate")
    await scenario.store.write(providers.put_providers(["replicate", "fal"]))
    assert (await scenario.job(await scenario.accept(provider="replicate"))).provider == "replicate"


async def test_a_notify_url_that_is_the_settings_url_too_is_delivered_to_once(scenario: Scenario) -> None:
    await put(scenario, URL)
    job_id = await scenario.submit(notify=(URL, OTHER))
    first, second = await made(scenario, job_id)
    assert SETTINGS_ENDPOINT in {first.endpoint_id, second.endpoint_id}
    urls = {row["id"]: row["url"] for row in await queues.ask(scenario.store, "SELECT id, url FROM endpoints")}
    assert sorted(urls[each.endpoint_id] for each in (first, second)) == sorted([URL, OTHER])


async def test_a_notify_url_is_delivered_to_when_another_endpoint_of_the_url_is_paused(scenario: Scenario) -> None:
    await put(scenario, URL)
    await put(scenario, None)
    job_id = await scenario.submit(notify=(URL,))
    assert len(await made(scenario, job_id)) == 2
    [task] = await scenario.fetch("deliver", at=2)
    assert task.subject != SETTINGS_ENDPOINT


async def test_a_notify_url_is_delivered_to_when_another_endpoint_of_the_url_filters_the_event(
    scenario: Scenario,
) -> None:
    await add(scenario.store, "ep_completed", URL, event_filter='["job.completed"]')
    job_id = await scenario.submit(notify=(URL,))
    await scenario.report(job_id)
    submitted, completed = await made(scenario, job_id)
    assert submitted.endpoint_id != "ep_completed"
    assert completed.endpoint_id == "ep_completed"


async def test_the_same_notify_url_in_many_jobs_is_one_endpoint(scenario: Scenario, count: Count) -> None:
    await asyncio.gather(*(scenario.accept(notify=(OTHER, URL) if n % 2 else (URL, OTHER)) for n in range(20)))
    assert await count("endpoints") == 2
    assert await count("subscriptions") == 40


async def test_an_endpoint_receives_only_the_events_of_its_filter(scenario: Scenario) -> None:
    await add(scenario.store, "ep_ended", event_filter='["job.failed", "job.completed"]')
    job_id = await scenario.submit()
    await scenario.report(job_id)
    assert await received(scenario, job_id) == ["3 ep_ended"]
    assert [task.subject for task in await scenario.fetch("deliver", at=31)] == ["ep_ended"]


@pytest.mark.parametrize(
    ("metadata", "matches"),
    [
        ('{"team": "a", "tries": 3, "paid": true, "tag": null}', True),
        ('{"team": "a", "tries": 3, "paid": true, "tag": null, "more": {"x": [1]}}', True),
        ('{"team": "a", "tries": 3, "paid": true}', False),
        ('{"team": "b", "tries": 3, "paid": true, "tag": null}', False),
        ('{"team": "a", "tries": "3", "paid": true, "tag": null}', False),
        ('{"team": "a", "tries": 3, "paid": 1, "tag": null}', False),
        ("{}", False),
    ],
)
async def test_an_endpoint_receives_only_jobs_whose_metadata_has_each_pair_of_its_filter(
    scenario: Scenario, metadata: str, matches: bool
) -> None:
    await add(scenario.store, "ep_team", metadata_filter='{"team": "a", "tries": 3, "paid": true, "tag": null}')
    job_id = await scenario.submit(metadata=metadata)
    assert await received(scenario, job_id) == (["2 ep_team"] if matches else [])


@pytest.mark.parametrize("metadata", ['{"team": "\\u0000"}', '{"team": "\\ud800"}', '{"team": 1e999999}'])
async def test_metadata_that_postgres_cannot_read_fails_no_callback(scenario: Scenario, metadata: str) -> None:
    await add(scenario.store, "ep_team", metadata_filter='{"team": "a"}')
    job_id = await scenario.submit(metadata=metadata)
    assert await scenario.report(job_id) == "recorded"
    assert await received(scenario, job_id) == []


async def test_an_endpoint_without_filters_receives_every_public_event(scenario: Scenario) -> None:
    await add(scenario.store, "ep_all")
    job_id = await scenario.submit()
    await scenario.report(job_id)
    assert await received(scenario, job_id) == ["2 ep_all", "3 ep_all"]


async def test_disabling_an_endpoint_is_an_event_for_the_other_endpoints(scenario: Scenario) -> None:
    await put(scenario, URL)
    await add(scenario.store, "ep_all")
    await add(scenario.store, "ep_jobs", event_filter='["job.completed"]')
    await add(scenario.store, "ep_team", metadata_filter='{"team": "a"}')
    await scenario.submit()
    [due] = await deliveries.read_due(scenario.store, SETTINGS_ENDPOINT, now=ms(2), limit=10)
    for _ in range(2):
        await scenario.store.write(deliveries.disable_endpoint(due, GONE, reason="410 Gone", now=ms(31)))
    [event] = await events.list_events(scenario.store, SETTINGS_ENDPOINT)
    assert (event.type, event.sequence, event.at) == ("endpoint.disabled", 1, ms(31))
    assert msgspec.json.decode(event.data or "") == {"id": SETTINGS_ENDPOINT, "url": URL, "reason": "410 Gone"}
    [delivery] = await made(scenario, SETTINGS_ENDPOINT)
    assert delivery.endpoint_id == "ep_all"
    assert delivery.id == f"msg_{SETTINGS_ENDPOINT}_1_all"
    found = await deliveries.read_due(scenario.store, "ep_all", now=ms(32), limit=10)
    [delivered] = [each for each in found if each.event.subject == SETTINGS_ENDPOINT]
    assert (delivered.job, delivered.subject_kind, delivered.event) == (None, "endpoint", event)


async def test_a_due_delivery_has_its_endpoints_own_secrets_schedule_and_limits(scenario: Scenario) -> None:
    limits: dict[str, object] = {"max_concurrency": 3, "rate_per_second": 7, "timeout_ms": 900}
    await add(scenario.store, "ep_own", **limits, secrets='["bmV3", "b2xk"]', schedule="[0, 60]")
    await scenario.submit()
    [due] = await deliveries.read_due(scenario.store, "ep_own", now=ms(2), limit=10)
    endpoint = due.endpoint
    assert (endpoint.secrets, endpoint.schedule) == ((b"new", b"old"), (0, 60))
    assert (endpoint.max_concurrency, endpoint.rate_per_second, endpoint.timeout_ms) == (3, 7, 900)


# --- absent settings ------------------------------------------------------------------------------------------------


async def count_paused(scenario: Scenario) -> int:
    return (await deliveries.count_needing_attention(scenario.store))["paused"]


async def test_deliveries_wait_while_notify_url_is_unset(scenario: Scenario) -> None:
    await put(scenario, URL)
    job_id = await scenario.submit(at=1)
    await put(scenario, None, at=3)
    await scenario.report(job_id, at=4)
    assert [each.state for each in await made(scenario, job_id)] == ["pending", "pending"]
    assert await count_paused(scenario) == 2
    assert await endpoints.count_paused_deliveries(scenario.store) == {NO_URL: 2}
    [task] = await scenario.fetch("deliver", at=5)  # enqueued before the pause
    assert await deliveries.read_due(scenario.store, SETTINGS_ENDPOINT, now=ms(5), limit=10) == []
    await scenario.store.write(deliveries.release(task, now=ms(5)))
    assert await scenario.fetch("deliver", at=10_000) == []
    await put(scenario, OTHER, at=10_001)
    [task] = await scenario.fetch("deliver", at=10_001)
    due = await deliveries.read_due(scenario.store, task.subject, now=ms(10_001), limit=10)
    assert [each.endpoint.url for each in due] == [OTHER, OTHER]
    assert await count_paused(scenario) == 0


async def test_a_resumed_endpoint_without_pending_deliveries_is_not_enqueued(scenario: Scenario) -> None:
    await put(scenario, URL)
    await put(scenario, None)
    await put(scenario, URL)
    assert await scenario.fetch("deliver", at=10) == []


async def test_without_notify_url_there_is_no_endpoint(scenario: Scenario, count: Count) -> None:
    await put(scenario, None)
    assert await count("endpoints") == 0


async def test_removing_an_endpoint_discards_its_deliveries_and_counts_them(scenario: Scenario) -> None:
    await put(scenario, URL)
    job_id = await scenario.submit()
    assert await scenario.store.write(endpoints.remove_settings_endpoint(now=ms(40))) == 1
    [delivery] = await made(scenario, job_id)
    assert (delivery.state, delivery.reason) == ("discarded", "NOTIFY_URL=none removed the endpoint")
    assert delivery.finalized_at == ms(40)
    assert await scenario.store.write(endpoints.remove_settings_endpoint(now=ms(41))) == 0
    assert (await deliveries.count_needing_attention(scenario.store))["discarded"] == 1
    await scenario.report(job_id)
    assert len(await made(scenario, job_id)) == 1


async def test_a_removed_endpoint_that_is_set_again_receives_events_again(scenario: Scenario) -> None:
    await put(scenario, URL)
    await scenario.store.write(endpoints.remove_settings_endpoint(now=ms(1)))
    await put(scenario, URL)
    assert len(await made(scenario, await scenario.submit())) == 1


async def test_without_notify_secret_only_endpoints_with_own_secrets_receive_deliveries(scenario: Scenario) -> None:
    await put(scenario, URL)
    await add(scenario.store, "ep_own", secrets='["bmV3"]')
    await scenario.submit(notify=("https://job.example/",))
    await scenario.store.write(endpoints.put_signing(possible=False, now=ms(3)))
    assert await endpoints.count_paused_deliveries(scenario.store) == {UNSIGNED: 2}
    for task in await scenario.fetch("deliver", at=4):
        found = await deliveries.read_due(scenario.store, task.subject, now=ms(4), limit=10)
        assert len(found) == (task.subject == "ep_own")
        await scenario.store.write(deliveries.release(task, now=ms(4)))
    await scenario.store.write(endpoints.put_signing(possible=True, now=ms(5)))
    assert len({task.subject for task in await scenario.fetch("deliver", at=6)} - {"ep_own"}) == 2
    assert await count_paused(scenario) == 0


async def test_setting_one_of_two_absent_settings_does_not_end_the_pause_of_the_other(scenario: Scenario) -> None:
    await put(scenario, URL)
    await scenario.submit()
    await put(scenario, None)
    await scenario.store.write(endpoints.put_signing(possible=False, now=ms(3)))
    await scenario.store.write(endpoints.put_signing(possible=True, now=ms(4)))
    assert await endpoints.count_paused_deliveries(scenario.store) == {NO_URL: 1}
    await scenario.store.write(endpoints.put_signing(possible=False, now=ms(5)))
    await put(scenario, URL, at=6)
    await scenario.store.write(endpoints.put_signing(possible=False, now=ms(6)))
    assert await endpoints.count_paused_deliveries(scenario.store) == {UNSIGNED: 1}
    await put(scenario, URL, at=7)
    assert await count_paused(scenario) == 1


async def test_a_replayed_delivery_of_a_paused_endpoint_waits(scenario: Scenario) -> None:
    await put(scenario, URL)
    job_id = await scenario.submit()
    [delivery] = await made(scenario, job_id)
    [task] = await scenario.fetch("deliver", at=2)
    await scenario.store.write(deliveries.finish(delivery.id, GONE, "dead", now=ms(3), reason="failed"))
    await scenario.store.write(deliveries.release(task, now=ms(3)))
    await put(scenario, None)
    assert await scenario.store.write(deliveries.replay(delivery.id, now=ms(4)))
    assert await scenario.fetch("deliver", at=5) == []
    assert await count_paused(scenario) == 1
