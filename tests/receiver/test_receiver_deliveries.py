"""Deliveries in the HTTP API: list, read with attempts, and replay."""

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


async def test_a_dead_delivery_is_replayed_once_under_its_id(receiver: Receiver) -> None:
    delivery_id = await delivery(receiver)
    replayed = await receiver.http.post(f"/v1/deliveries/{delivery_id}/replay")
    assert (replayed.status_code, replayed.json()["id"], replayed.json()["state"]) == (202, delivery_id, "pending")
    [task] = await receiver.scenario.fetch("deliver", at=1)
    [due] = await deliveries.read_due(receiver.store, task.subject, now=NOON + 1_000, limit=10)
    assert due.delivery_id == delivery_id
    assert len(receiver.emitted.named("delivery.replayed")) == 1
    again = await receiver.http.post(f"/v1/deliveries/{delivery_id}/replay")
    assert is_problem(again, 409)
    assert len(receiver.emitted.named("delivery.replayed")) == 1


async def test_a_pending_delivery_is_not_replayed(receiver: Receiver) -> None:
    delivery_id = await delivery(receiver, dead=False)
    before = await receiver.dump()
    assert is_problem(await receiver.http.post(f"/v1/deliveries/{delivery_id}/replay"), 409)
    assert await receiver.dump() == before


async def test_dead_deliveries_are_listed_newest_first_page_by_page(receiver: Receiver) -> None:
    made = [await delivery(receiver, f"req-{number}") for number in range(3)]
    first = (await receiver.http.get("/v1/deliveries?state=dead&limit=2")).json()
    second = (await receiver.http.get(f"/v1/deliveries?state=dead&limit=2&cursor={first['next_cursor']}")).json()
    assert [each["id"] for each in first["deliveries"] + second["deliveries"]] == made[::-1]
    assert second["next_cursor"] is None
    assert (await receiver.http.get("/v1/deliveries?state=discarded")).json()["deliveries"] == []


async def test_deliveries_of_a_job_are_listed(receiver: Receiver) -> None:
    delivery_id = await delivery(receiver)
    job_id = (await receiver.http.get(f"/v1/deliveries/{delivery_id}")).json()["subject"]
    found = (await receiver.http.get(f"/v1/deliveries?job={job_id}")).json()
    assert [each["id"] for each in found["deliveries"]] == [delivery_id]


@pytest.mark.parametrize("query", ["", "?state=delivered", "?state=x", "?state=dead&limit=0"])
async def test_invalid_queries_of_deliveries_are_refused(receiver: Receiver, query: str) -> None:
    assert is_problem(await receiver.http.get(f"/v1/deliveries{query}"), 400)


@pytest.mark.parametrize(("method", "path"), [("GET", "msg_nowhere"), ("POST", "msg_nowhere/replay")])
async def test_an_unknown_delivery_gets_404(receiver: Receiver, method: str, path: str) -> None:
    assert is_problem(await receiver.http.request(method, f"/v1/deliveries/{path}"), 404)


async def test_dead_deliveries_and_orphans_are_counted_in_the_metrics(receiver: Receiver) -> None:
    await delivery(receiver)
    await receiver.call_back("job_of_a_lost_disk")
    await receiver.http.get("/metrics")
    assert receiver.registry.get_sample_value("renderhook_needs_attention", {"what": "dead"}) == 1
    assert receiver.registry.get_sample_value("renderhook_needs_attention", {"what": "orphan"}) == 1
