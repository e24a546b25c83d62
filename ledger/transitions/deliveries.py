"""Deliveries: one event for one endpoint, attempted until it is delivered, dead or discarded."""

from collections.abc import Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import EventType
from ledger.requests import Attempted, Ending, Task
from ledger.rows import Attempt, Delivery, DueDelivery, due_deliveries_from_rows
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction
from ledger.transitions.events import event_values, publish


def finish(
    delivery_id: str, attempted: Attempted | None, ending: Ending, *, now: int, reason: str | None = None
) -> Transaction[None]:
    """End a delivery, with the attempt that ended it when there was one."""
    values = {"delivery_id": delivery_id, "now": now, "state": ending, "reason": reason}
    steps = (*_attempted(delivery_id, attempted), Call("settle_delivery"))
    return Transaction(steps=steps, values=values, read=_nothing)


def disable_endpoint(delivery: DueDelivery, attempted: Attempted, *, reason: str, now: int) -> Transaction[None]:
    """End a delivery as dead and disable its endpoint, which the other endpoints hear of."""
    endpoint = delivery.endpoint
    data = {"id": endpoint.id, "url": endpoint.url, "reason": reason}
    values: dict[str, object] = {
        "delivery_id": delivery.delivery_id,
        "endpoint_id": endpoint.id,
        "state": "dead",
        "reason": reason,
        **event_values(
            EventType.ENDPOINT_DISABLED,
            endpoint.id,
            new_identifier("tran", now),
            now=now,
            data=msgspec.json.encode(data).decode(),
        ),
    }
    steps = (
        *_attempted(delivery.delivery_id, attempted),
        Call("settle_delivery"),
        Call("disable_endpoint"),
        *publish(EventType.ENDPOINT_DISABLED),
    )
    return Transaction(steps=steps, values=values, read=_nothing)


def retry(delivery_id: str, attempted: Attempted, *, due_at: int) -> Transaction[None]:
    """Record a failed attempt, the next one due at `due_at` (ms)."""
    steps = (*_attempted(delivery_id, attempted), Call("reschedule_delivery"))
    return Transaction(steps=steps, values={"delivery_id": delivery_id, "due_at": due_at}, read=_nothing)


def release(task: Task, *, now: int) -> Transaction[None]:
    """Release an endpoint: its task comes due with its next delivery, or is finished when there is none."""
    steps = (
        Call("release_contended_endpoint", wakes=("deliver",)),
        Call("release_endpoint", wakes=("deliver",)),
        Call("finish_work"),
    )
    return Transaction(steps=steps, values=task.values | {"now": now}, read=_nothing)


def replay(chosen: Sequence[Delivery], *, now: int) -> Transaction[int]:
    """Make deliveries pending and due now, each under its id, its schedule from the start. The result is how many.

    A delivery that is no longer in the state that was read stays as it is, and so does one of an endpoint that was
    removed. Endpoints that had answered 410 are enabled.
    """
    steps = [Call("replay_delivery", _replayed(each, now), wakes_each="endpoint_id") for each in chosen]
    for endpoint_id in sorted({each.endpoint_id for each in chosen}):  # in one order: or two would wait for each other
        values = {"endpoint_id": endpoint_id, "now": now}
        steps += [Call("enable_endpoint", values), Call("enqueue_replayed", values, wakes=("deliver",))]

    def read(rows: Sequence[Rows]) -> int:
        return sum(map(len, rows[: len(chosen)]))

    return Transaction(steps=tuple(steps), values={}, read=read)


async def read_due(store: Store, endpoint_id: str, *, now: int, limit: int) -> list[DueDelivery]:
    """Read at most `limit` deliveries of an endpoint due at `now` (ms), longest due first; none while it is paused."""
    values = {"endpoint_id": endpoint_id, "now": now, "limit": limit}
    return list(due_deliveries_from_rows(await store.read("read_due_deliveries", values)))


async def read_delivery(store: Store, delivery_id: str) -> Delivery | None:
    """Read one delivery, or None when there is no such delivery."""
    rows = await store.read("read_delivery", {"delivery_id": delivery_id})
    return Delivery(**rows[0]) if rows else None


async def count_needing_attention(store: Store) -> dict[str, int]:
    """Count what an operator should see: deliveries that are dead, discarded or paused, conflicts and orphans."""
    receipts = await store.read("count_receipts_needing_attention", {})
    given_up = await store.read("count_deliveries_needing_attention", {})
    found = {row["result"]: row["number"] for row in receipts} | {row["state"]: row["number"] for row in given_up}
    return {word: found.get(word, 0) for word in ("dead", "discarded", "paused", "conflict", "orphan")}


async def list_deliveries_of_subject(store: Store, subject: str) -> list[Delivery]:
    """Read the deliveries of the events of a job, a run, an endpoint or an output, in their order."""
    return [Delivery(**row) for row in await store.read("list_deliveries_of_subject", {"subject": subject})]


async def list_attempts(store: Store, delivery_id: str) -> list[Attempt]:
    """Read the attempts of a delivery, first to last."""
    return [Attempt(**row) for row in await store.read("list_attempts", {"delivery_id": delivery_id})]


def _attempted(delivery_id: str, attempted: Attempted | None) -> tuple[Call, ...]:
    if attempted is None:
        return ()
    values = msgspec.structs.asdict(attempted) | {"delivery_id": delivery_id}
    return (Call("insert_attempt", values), Call("count_attempt", values))


def _replayed(delivery: Delivery, now: int) -> dict[str, object]:
    return {"delivery_id": delivery.id, "endpoint_id": delivery.endpoint_id, "was": delivery.state, "now": now}


def _nothing(_: Sequence[Rows]) -> None:
    return None
