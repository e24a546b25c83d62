"""Endpoints: who hears of an event, once for each URL, and what a setting that is absent does to what is pending."""

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
from tests.ledger.conftest import Story, ms

URL, OTHER = "https://user.example/hooks", "https://other.example/hooks"
GONE = Attempted(at=ms(31), latency_ms=12, status=410, error=None, response=b"")
Count = Callable[[str], Awaitable[int]]


async def put(story: Story, url: str | None, at: float = 0) -> None:
    await story.store.write(endpoints.put_settings_endpoint(url, now=ms(at)))


async def add(store: Store, endpoint_id: str, at: str = OTHER, /, **columns: object) -> None:
    """Insert an endpoint as the API will."""
    row = {"id": endpoint_id, "url": at, "source": "api", "created_at": NOON} | columns
    marks = ", ".join(["%s"] * len(row))
    await queues.ask(store, f"INSERT INTO endpoints ({', '.join(row)}) VALUES ({marks})", *row.values())


async def made(story: Story, job_id: str) -> list[Delivery]:
    return await deliveries.list_deliveries_of_subject(story.store, job_id)


async def heard_by(story: Story, job_id: str) -> list[str]:
    return [f"{each.sequence} {each.endpoint_id}" for each in await made(story, job_id)]


# --- who hears ------------------------------------------------------------------------------------------------------


async def test_a_job_of_an_unknown_provider_is_refused_until_it_is_registered(story: Story) -> None:
    with pytest.raises(Contradiction):
        await story.accept(provider="replicate")
    await story.store.write(providers.put_providers(["replicate", "fal"]))
    assert (await story.job(await story.accept(provider="replicate"))).provider == "replicate"


async def test_a_notify_url_that_is_the_settings_url_too_is_delivered_to_once(story: Story) -> None:
    await put(story, URL)
    job_id = await story.submit(notify=(URL, OTHER))
    first, second = await made(story, job_id)
    assert SETTINGS_ENDPOINT in {first.endpoint_id, second.endpoint_id}
    urls = {row["id"]: row["url"] for row in await queues.ask(story.store, "SELECT id, url FROM endpoints")}
    assert sorted(urls[each.endpoint_id] for each in (first, second)) == sorted([URL, OTHER])


async def test_a_notify_url_is_delivered_to_when_the_endpoint_of_the_same_url_is_paused(story: Story) -> None:
    await put(story, URL)
    await put(story, None)
    job_id = await story.submit(notify=(URL,))
    assert len(await made(story, job_id)) == 2
    [task] = await story.fetch("deliver", at=2)
    assert task.subject != SETTINGS_ENDPOINT


async def test_a_notify_url_is_delivered_to_when_the_endpoint_of_the_same_url_filters_the_event(story: Story) -> None:
    await add(story.store, "ep_completed", URL, event_filter='["job.completed"]')
    job_id = await story.submit(notify=(URL,))
    await story.report(job_id)
    submitted, completed = await made(story, job_id)
    assert submitted.endpoint_id != "ep_completed"
    assert completed.endpoint_id == "ep_completed"


async def test_the_same_notify_url_in_many_jobs_is_one_endpoint(story: Story, count: Count) -> None:
    await asyncio.gather(*(story.accept(notify=(OTHER, URL) if n % 2 else (URL, OTHER)) for n in range(20)))
    assert await count("endpoints") == 2
    assert await count("subscriptions") == 40


async def test_an_endpoint_hears_only_of_the_events_of_its_filter(story: Story) -> None:
    await add(story.store, "ep_ended", event_filter='["job.failed", "job.completed"]')
    job_id = await story.submit()
    await story.report(job_id)
    assert await heard_by(story, job_id) == ["3 ep_ended"]
    assert [task.subject for task in await story.fetch("deliver", at=31)] == ["ep_ended"]


@pytest.mark.parametrize(
    ("metadata", "hears"),
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
async def test_an_endpoint_hears_only_of_jobs_whose_metadata_has_each_pair_of_its_filter(
    story: Story, metadata: str, hears: bool
) -> None:
    await add(story.store, "ep_team", metadata_filter='{"team": "a", "tries": 3, "paid": true, "tag": null}')
    job_id = await story.submit(metadata=metadata)
    assert await heard_by(story, job_id) == (["2 ep_team"] if hears else [])


@pytest.mark.parametrize("metadata", ['{"team": "\\u0000"}', '{"team": "\\ud800"}', '{"team": 1e999999}'])
async def test_metadata_that_postgres_cannot_read_fails_no_callback(story: Story, metadata: str) -> None:
    await add(story.store, "ep_team", metadata_filter='{"team": "a"}')
    job_id = await story.submit(metadata=metadata)
    assert await story.report(job_id) == "recorded"
    assert await heard_by(story, job_id) == []


async def test_an_endpoint_without_filters_hears_of_every_public_event(story: Story) -> None:
    await add(story.store, "ep_all")
    job_id = await story.submit()
    await story.report(job_id)
    assert await heard_by(story, job_id) == ["2 ep_all", "3 ep_all"]


async def test_a_disabled_endpoint_is_an_event_that_the_others_hear_of(story: Story) -> None:
    await put(story, URL)
    await add(story.store, "ep_all")
    await add(story.store, "ep_jobs", event_filter='["job.completed"]')
    await add(story.store, "ep_team", metadata_filter='{"team": "a"}')
    await story.submit()
    [due] = await deliveries.read_due(story.store, SETTINGS_ENDPOINT, now=ms(2), limit=10)
    for _ in range(2):
        await story.store.write(deliveries.disable_endpoint(due, GONE, reason="410 Gone", now=ms(31)))
    [event] = await events.list_events(story.store, SETTINGS_ENDPOINT)
    assert (event.type, event.sequence, event.at) == ("endpoint.disabled", 1, ms(31))
    assert msgspec.json.decode(event.data or "") == {"id": SETTINGS_ENDPOINT, "url": URL, "reason": "410 Gone"}
    [delivery] = await made(story, SETTINGS_ENDPOINT)
    assert delivery.endpoint_id == "ep_all"
    assert delivery.id == f"msg_{SETTINGS_ENDPOINT}_1_all"
    found = await deliveries.read_due(story.store, "ep_all", now=ms(32), limit=10)
    [told] = [each for each in found if each.event.subject == SETTINGS_ENDPOINT]
    assert (told.job, told.subject_kind, told.event) == (None, "endpoint", event)


async def test_a_due_delivery_has_its_endpoints_own_secrets_schedule_and_limits(story: Story) -> None:
    limits: dict[str, object] = {"max_concurrency": 3, "rate_per_second": 7, "timeout_ms": 900}
    await add(story.store, "ep_own", **limits, secrets='["bmV3", "b2xk"]', schedule="[0, 60]")
    await story.submit()
    [due] = await deliveries.read_due(story.store, "ep_own", now=ms(2), limit=10)
    endpoint = due.endpoint
    assert (endpoint.secrets, endpoint.schedule) == ((b"new", b"old"), (0, 60))
    assert (endpoint.max_concurrency, endpoint.rate_per_second, endpoint.timeout_ms) == (3, 7, 900)


# --- a setting that is absent ---------------------------------------------------------------------------------------


async def waiting(story: Story) -> int:
    return (await deliveries.count_needing_attention(story.store))["paused"]


async def test_deliveries_wait_while_notify_url_is_unset_and_go_on_when_it_is_set_again(story: Story) -> None:
    await put(story, URL)
    job_id = await story.submit(at=1)
    await put(story, None, at=3)
    await story.report(job_id, at=4)
    assert [each.state for each in await made(story, job_id)] == ["pending", "pending"]
    assert await waiting(story) == 2
    assert await endpoints.count_paused_deliveries(story.store) == {NO_URL: 2}
    [task] = await story.fetch("deliver", at=5)  # enqueued before the pause
    assert await deliveries.read_due(story.store, SETTINGS_ENDPOINT, now=ms(5), limit=10) == []
    await story.store.write(deliveries.release(task, now=ms(5)))
    assert await story.fetch("deliver", at=10_000) == []
    await put(story, OTHER, at=10_001)
    [task] = await story.fetch("deliver", at=10_001)
    due = await deliveries.read_due(story.store, task.subject, now=ms(10_001), limit=10)
    assert [each.endpoint.url for each in due] == [OTHER, OTHER]
    assert await waiting(story) == 0


async def test_an_endpoint_without_anything_pending_is_not_enqueued_when_it_goes_on(story: Story) -> None:
    await put(story, URL)
    await put(story, None)
    await put(story, URL)
    assert await story.fetch("deliver", at=10) == []


async def test_notify_url_that_was_never_set_makes_no_endpoint(story: Story, count: Count) -> None:
    await put(story, None)
    assert await count("endpoints") == 0


async def test_a_removed_endpoint_has_its_deliveries_discarded_at_once_and_in_sight(story: Story) -> None:
    await put(story, URL)
    job_id = await story.submit()
    assert await story.store.write(endpoints.remove_settings_endpoint(now=ms(40))) == 1
    [delivery] = await made(story, job_id)
    assert (delivery.state, delivery.reason) == ("discarded", "NOTIFY_URL=none removed the endpoint")
    assert delivery.finalized_at == ms(40)
    assert await story.store.write(endpoints.remove_settings_endpoint(now=ms(41))) == 0
    assert (await deliveries.count_needing_attention(story.store))["discarded"] == 1
    await story.report(job_id)
    assert len(await made(story, job_id)) == 1


async def test_a_removed_endpoint_that_is_set_again_hears_again(story: Story) -> None:
    await put(story, URL)
    await story.store.write(endpoints.remove_settings_endpoint(now=ms(1)))
    await put(story, URL)
    assert len(await made(story, await story.submit())) == 1


async def test_deliveries_wait_while_notify_secret_is_unset_but_for_endpoints_with_their_own(story: Story) -> None:
    await put(story, URL)
    await add(story.store, "ep_own", secrets='["bmV3"]')
    await story.submit(notify=("https://job.example/",))
    await story.store.write(endpoints.put_signing(possible=False, now=ms(3)))
    assert await endpoints.count_paused_deliveries(story.store) == {UNSIGNED: 2}
    for task in await story.fetch("deliver", at=4):
        found = await deliveries.read_due(story.store, task.subject, now=ms(4), limit=10)
        assert len(found) == (task.subject == "ep_own")
        await story.store.write(deliveries.release(task, now=ms(4)))
    await story.store.write(endpoints.put_signing(possible=True, now=ms(5)))
    assert len({task.subject for task in await story.fetch("deliver", at=6)} - {"ep_own"}) == 2
    assert await waiting(story) == 0


async def test_one_setting_that_is_set_again_does_not_end_the_pause_of_the_other(story: Story) -> None:
    await put(story, URL)
    await story.submit()
    await put(story, None)
    await story.store.write(endpoints.put_signing(possible=False, now=ms(3)))
    await story.store.write(endpoints.put_signing(possible=True, now=ms(4)))
    assert await endpoints.count_paused_deliveries(story.store) == {NO_URL: 1}
    await story.store.write(endpoints.put_signing(possible=False, now=ms(5)))
    await put(story, URL, at=6)
    await story.store.write(endpoints.put_signing(possible=False, now=ms(6)))
    assert await endpoints.count_paused_deliveries(story.store) == {UNSIGNED: 1}
    await put(story, URL, at=7)
    assert await waiting(story) == 1


async def test_a_dead_delivery_of_a_paused_endpoint_that_is_replayed_waits_too(story: Story) -> None:
    await put(story, URL)
    job_id = await story.submit()
    [delivery] = await made(story, job_id)
    [task] = await story.fetch("deliver", at=2)
    await story.store.write(deliveries.finish(delivery.id, GONE, "dead", now=ms(3), reason="failed"))
    await story.store.write(deliveries.release(task, now=ms(3)))
    await put(story, None)
    assert await story.store.write(deliveries.replay(await made(story, job_id), now=ms(4))) == 1
    assert await story.fetch("deliver", at=5) == []
    assert await waiting(story) == 1
