"""What was told, what was tried, and the dead letters that an operator sends again."""

import pytest

from ledger.requests import Attempted
from ledger.transitions import deliveries
from tests.conftest import NOON
from tests.receiver.house import House
from tests.receiver.test_receiver_app import is_problem

TRIED = Attempted(at=NOON, latency_ms=12, status=500, error=None, response=b"no\xff")


async def delivery(house: House, request_id: str = "req-1", *, dead: bool = True) -> str:
    """Bring one delivery that was tried once, dead unless told otherwise. Returns its id."""
    job_id = await house.story.accept(at=0, notify=("https://u.example/hooks",))
    await house.story.begin(job_id, at=0)
    await house.story.report(job_id, at=0, request_id=request_id)
    [task] = await house.story.fetch("deliver", at=0)
    [made] = await deliveries.list_deliveries_of_subject(house.store, job_id)
    if dead:
        await house.store.write(deliveries.finish(made.id, TRIED, "dead", now=NOON, reason="ten attempts failed"))
        await house.store.write(deliveries.release(task, now=NOON))
    return made.id


async def test_a_delivery_shows_its_state_and_attempts(house: House) -> None:
    delivery_id = await delivery(house)
    shown = (await house.http.get(f"/v1/deliveries/{delivery_id}")).json()
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


async def test_a_dead_delivery_is_replayed_once_under_its_id(house: House) -> None:
    delivery_id = await delivery(house)
    replayed = await house.http.post(f"/v1/deliveries/{delivery_id}/replay")
    assert (replayed.status_code, replayed.json()["id"], replayed.json()["state"]) == (202, delivery_id, "pending")
    [task] = await house.story.fetch("deliver", at=1)
    [letter] = await deliveries.read_due(house.store, task.subject, now=NOON + 1_000, limit=10)
    assert letter.delivery_id == delivery_id
    assert len(house.heard.named("delivery.replayed")) == 1
    again = await house.http.post(f"/v1/deliveries/{delivery_id}/replay")
    assert is_problem(again, 409)
    assert len(house.heard.named("delivery.replayed")) == 1


async def test_a_pending_delivery_is_not_replayed(house: House) -> None:
    delivery_id = await delivery(house, dead=False)
    before = await house.dump()
    assert is_problem(await house.http.post(f"/v1/deliveries/{delivery_id}/replay"), 409)
    assert await house.dump() == before


async def test_dead_deliveries_are_listed_newest_first_page_by_page(house: House) -> None:
    made = [await delivery(house, f"req-{number}") for number in range(3)]
    first = (await house.http.get("/v1/deliveries?state=dead&limit=2")).json()
    second = (await house.http.get(f"/v1/deliveries?state=dead&limit=2&cursor={first['next_cursor']}")).json()
    assert [each["id"] for each in first["deliveries"] + second["deliveries"]] == made[::-1]
    assert second["next_cursor"] is None
    assert (await house.http.get("/v1/deliveries?state=discarded")).json()["deliveries"] == []


async def test_deliveries_of_a_job_are_listed(house: House) -> None:
    delivery_id = await delivery(house)
    job_id = (await house.http.get(f"/v1/deliveries/{delivery_id}")).json()["job_id"]
    found = (await house.http.get(f"/v1/deliveries?job={job_id}")).json()
    assert [each["id"] for each in found["deliveries"]] == [delivery_id]


@pytest.mark.parametrize("query", ["", "?state=delivered", "?state=x", "?state=dead&limit=0"])
async def test_invalid_queries_of_deliveries_are_refused(house: House, query: str) -> None:
    assert is_problem(await house.http.get(f"/v1/deliveries{query}"), 400)


@pytest.mark.parametrize(("method", "path"), [("GET", "msg_nowhere"), ("POST", "msg_nowhere/replay")])
async def test_an_unknown_delivery_gets_404(house: House, method: str, path: str) -> None:
    assert is_problem(await house.http.request(method, f"/v1/deliveries/{path}"), 404)


async def test_dead_deliveries_and_orphans_are_counted_in_the_metrics(house: House) -> None:
    await delivery(house)
    await house.call_back("job_of_a_lost_disk")
    await house.http.get("/metrics")
    assert house.registry.get_sample_value("renderhook_needs_attention", {"what": "dead"}) == 1
    assert house.registry.get_sample_value("renderhook_needs_attention", {"what": "orphan"}) == 1
