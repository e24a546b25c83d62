"""Deliveries in the HTTP API: list, read with attempts, and replay."""

import httpx
import pytest

from ledger.requests import Attempted
from ledger.transitions import deliveries
from tests.conftest import NOON
from tests.database import ON_BOTH_DATABASES
from tests.receiver.harness import Receiver
from tests.receiver.test_receiver_app import is_problem

pytestmark = ON_BOTH_DATABASES

TRIED = Attempted(at=NOON, latency_ms=12, status=500, error=None, response=b"no\xff")


async def delivery(receiver: Receiver, request_id: str = "req-1", *, dead: bool = True) -> str:
    """Make a delivery with one attempt, dead by default. Returns its id."""
    job_id = await receiver.scenario.accept(at=0, notify=("https://u.example/hooks",))
    await receiver.scenario.begin(job_id, at=0)
    await receiver.scenario.report(job_id, at=0, request_id=request_id)
    [task] = await receiver.scenario.fetch("deliver", at=0)
    [made] = await deliveries.list_deliveries_of_subject(receiver.store, job_id)
    if dead:
        await receiver.store.write(deliveries.finish(made.id, TRIED, "dead", now=NOON, reason="ten attempts failed"))
        await receiver.store.write(deliveries.release(task, now=NOON))
    return made.id


async def test_a_delivery_shows_its_state_and_attempts(receiver: Receiver) -> None:
    delivery_id = await delivery(receiver)
    shown = (await receiver.http.get(f"/v1/deliveries/{delivery_id}")).json()
    assert (shown["id"], shown["state"], shown["reason"]) == (delivery_id, "dead", "ten attempts failed")
    assert (shown["attempts"], shown["sequence"]) == (1, 2)
    assert (shown["created_at"], shown["finalized_at"]) == ("2026-01-01T00:00:00.000Z",) * 2
    [attempt] = shown["attempt_log"]
    assert attempt == {
        "number": 1,
        "at": "2026-01-01T00:00:00.000Z",
        "status": 500,
        "latency_ms": 12,
        "error": None,
        "response": "no\ufffd",
    }


async def replay(receiver: Receiver, delivery_id: str) -> httpx.Response:
    return await receiver.http.post(f"/v1/deliveries/{delivery_id}/replay")


async def replay_all(receiver: Receiver, **wanted: object) -> httpx.Response:
    return await receiver.http.post("/v1/deliveries/replay", json=wanted)


async def listed(receiver: Receiver, query: str) -> list[str]:
    response = await receiver.http.get(f"/v1/deliveries?{query}")
    assert response.status_code == 200, response.text
    return [each["id"] for each in response.json()["deliveries"]]


async def test_a_dead_delivery_is_replayed_under_its_id(receiver: Receiver) -> None:
    delivery_id = await delivery(receiver)
    replayed = await replay(receiver, delivery_id)
    assert (replayed.status_code, replayed.json()["id"], replayed.json()["state"]) == (202, delivery_id, "pending")
    [task] = await receiver.scenario.fetch("deliver", at=1)
    [due] = await deliveries.read_due(receiver.store, task.subject, now=NOON + 1_000, limit=10)
    assert due.delivery_id == delivery_id
    [emitted] = receiver.emitted.named("delivery.replayed")
    assert (emitted["delivery"], emitted["state"]) == (delivery_id, "dead")


@pytest.mark.parametrize("state", ["pending", "delivered", "discarded"])
async def test_a_delivery_in_any_other_state_is_replayed_too(receiver: Receiver, state: str) -> None:
    delivery_id = await delivery(receiver, dead=False)
    if state == "pending":
        await receiver.store.write(deliveries.retry(delivery_id, TRIED, due_at=NOON + 300_000))
    else:
        await receiver.store.write(deliveries.finish(delivery_id, TRIED, state, now=NOON, reason="why"))  # type: ignore[arg-type]  # one of the endings
    before = (await receiver.http.get(f"/v1/deliveries/{delivery_id}")).json()
    assert (before["state"], before["due_at"]) == (
        state,
        "2026-01-01T00:05:00.000Z" if state == "pending" else None,
    )
    receiver.clock.pass_seconds(60)
    replayed = await replay(receiver, delivery_id)
    assert replayed.status_code == 202
    assert (replayed.json()["state"], replayed.json()["due_at"]) == ("pending", "2026-01-01T00:01:00.000Z")
    assert (replayed.json()["reason"], replayed.json()["attempts"]) == (None, 1)


async def test_a_delivery_of_an_endpoint_that_was_removed_gets_409(receiver: Receiver) -> None:
    delivery_id = await delivery(receiver)
    receiver.database.query("UPDATE endpoints SET removed_at = 1")
    response = await replay(receiver, delivery_id)
    assert is_problem(response, 409)
    assert response.json()["detail"] == "its endpoint was removed"
    assert (await replay_all(receiver, state="dead")).json() == {"replayed": 0}


async def test_all_deliveries_of_a_filter_are_replayed(receiver: Receiver) -> None:
    made = [await delivery(receiver, f"req-{number}") for number in range(3)]
    last = (await receiver.http.get(f"/v1/deliveries/{made[-1]}")).json()
    response = await replay_all(receiver, state="dead", job=last["subject"])
    assert (response.status_code, response.json()) == (202, {"replayed": 1})
    response = await replay_all(receiver, state="dead", endpoint=last["endpoint_id"], since="2026-01-01T00:00:00Z")
    assert (response.status_code, response.json()) == (202, {"replayed": 2})
    assert (await replay_all(receiver, until="2026-01-01T01:00:00+01:00")).json() == {"replayed": 0}
    assert (await replay_all(receiver, until="2026-01-01T00:00:01Z")).json() == {"replayed": 3}
    assert await listed(receiver, "state=pending") == made[::-1]
    numbers = [fields["number"] for fields in receiver.emitted.named("delivery.filter_replayed")]
    assert numbers == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"status": "dead"}, "status"),
        ({"since": "2026"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"until": 7}, "until"),
        ({}, None),
        ({"state": None}, None),
    ],
)
async def test_a_filter_that_is_wrong_or_empty_replays_nothing(
    receiver: Receiver, wanted: dict[str, object], field: str | None
) -> None:
    await delivery(receiver)
    before = await receiver.dump()
    response = await replay_all(receiver, **wanted)
    assert is_problem(response, 422)
    assert [error["field"] for error in response.json().get("errors", [])] == ([field] if field else [])
    assert await receiver.dump() == before


async def test_dead_deliveries_are_listed_newest_first_page_by_page(receiver: Receiver) -> None:
    made = [await delivery(receiver, f"req-{number}") for number in range(3)]
    first = (await receiver.http.get("/v1/deliveries?state=dead&limit=2")).json()
    second = (await receiver.http.get(f"/v1/deliveries?state=dead&limit=2&cursor={first['next_cursor']}")).json()
    assert [each["id"] for each in first["deliveries"] + second["deliveries"]] == made[::-1]
    assert second["next_cursor"] is None
    assert (await receiver.http.get("/v1/deliveries?state=discarded")).json()["deliveries"] == []


async def test_deliveries_are_listed_by_every_filter(receiver: Receiver) -> None:
    dead, pending = await delivery(receiver, "req-1"), await delivery(receiver, "req-2", dead=False)
    shown = (await receiver.http.get(f"/v1/deliveries/{dead}")).json()
    assert await listed(receiver, "") == [pending, dead]
    assert await listed(receiver, "state=pending") == [pending]
    assert await listed(receiver, "state=delivered") == []
    assert await listed(receiver, f"job={shown['subject']}") == [dead]
    assert await listed(receiver, f"job={shown['subject']}&state=pending") == []
    assert await listed(receiver, f"endpoint={shown['endpoint_id']}") == [pending, dead]
    assert await listed(receiver, f"endpoint={shown['endpoint_id']}&state=dead") == [dead]
    assert await listed(receiver, "since=2026-01-01T00:00:00Z") == [pending, dead]
    assert await listed(receiver, "since=2026-01-01T01:00:00%2B01:00&until=2026-01-01T00:00:01Z") == [pending, dead]
    assert await listed(receiver, "until=2026-01-01T00:00:00Z") == []
    assert await listed(receiver, "since=2026-01-02T00:00:00Z") == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("state=x", "state"),
        ("state=dead&limit=0", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=job_1", "cursor"),
        ("cursor=msg_%00", "cursor"),
        ("since=2026", "since"),
        ("until=yesterday", "until"),
        ("endpoints=x", "endpoints"),
    ],
)
async def test_invalid_queries_of_deliveries_are_refused_by_name(receiver: Receiver, query: str, name: str) -> None:
    response = await receiver.http.get(f"/v1/deliveries?{query}")
    assert is_problem(response, 400)
    assert [error["field"] for error in response.json()["errors"]] == [name]


@pytest.mark.parametrize("what", ["job", "endpoint"])
@pytest.mark.parametrize("name", ["nope", "%00"])
async def test_a_filter_by_an_unknown_job_or_endpoint_gets_404(receiver: Receiver, what: str, name: str) -> None:
    response = await receiver.http.get(f"/v1/deliveries?{what}={name}")
    assert is_problem(response, 404)
    assert response.json()["detail"].startswith(f"there is no {what} ")
    assert is_problem(await replay_all(receiver, **{what: name.replace("%00", "\0")}), 404)


@pytest.mark.parametrize(("method", "path"), [("GET", "msg_nowhere"), ("POST", "msg_nowhere/replay")])
async def test_an_unknown_delivery_gets_404(receiver: Receiver, method: str, path: str) -> None:
    assert is_problem(await receiver.http.request(method, f"/v1/deliveries/{path}"), 404)


async def test_dead_deliveries_and_orphans_are_counted_in_the_metrics(receiver: Receiver) -> None:
    await delivery(receiver)
    await receiver.call_back("job_of_a_lost_disk")
    await receiver.http.get("/metrics")
    assert receiver.registry.get_sample_value("renderhook_needs_attention", {"what": "dead"}) == 1
    assert receiver.registry.get_sample_value("renderhook_needs_attention", {"what": "orphan"}) == 1
