"""Deliveries: one event for one endpoint, attempted until it is delivered, dead or discarded."""

from typing import Literal

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import EventType
from ledger.requests import AFTER_ALL_IDENTIFIERS, Attempted, Ending, Task
from ledger.rows import Attempt, Delivery, DueDelivery, due_deliveries_from_rows
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Transaction, changed, nothing
from ledger.transitions.events import event_values, publish


def finish(
    delivery_id: str, attempted: Attempted | None, ending: Ending, *, now: int, reason: str | None = None
) -> Transaction[None]:
    """End a delivery, and record the attempt that ended it if there was one."""
    values = {"delivery_id": delivery_id, "now": now, "state": ending, "reason": reason}
    steps = (*_attempted(delivery_id, attempted), Call("settle_delivery"))
    return Transaction(steps=steps, values=values, read=nothing)


def disable_endpoint(delivery: DueDelivery, attempted: Attempted, *, reason: str, now: int) -> Transaction[None]:
    """End a delivery as dead, disable its endpoint, and create the event `endpoint.disabled`."""
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
    return Transaction(steps=steps, values=values, read=nothing)


def retry(delivery_id: str, attempted: Attempted, *, due_at: int) -> Transaction[None]:
    """Record a failed attempt; the next one is due at `due_at` (ms)."""
    steps = (*_attempted(delivery_id, attempted), Call("reschedule_delivery"))
    return Transaction(steps=steps, values={"delivery_id": delivery_id, "due_at": due_at}, read=nothing)


def release(task: Task, *, now: int) -> Transaction[None]:
    """Release an endpoint: its task is due with its next delivery, or is deleted if there is none."""
    steps = (
        Call("release_contended_endpoint", wakes=("deliver",)),
        Call("release_endpoint", wakes=("deliver",)),
        Call("finish_work"),
    )
    return Transaction(steps=steps, values=task.values | {"now": now}, read=nothing)


def replay(delivery_id: str, *, now: int) -> Transaction[bool]:
    """Make a dead delivery pending again under the same id, with a fresh schedule. False if it is not dead."""
    values = {"delivery_id": delivery_id, "now": now}
    steps = (
        Call("replay_delivery", wakes_each="endpoint_id"),
        Call("enable_endpoint"),
        Call("enqueue_delivery", wakes=("deliver",)),
    )
    return Transaction(steps=steps, values=values, read=changed)


async def read_due(store: Store, endpoint_id: str, *, now: int, limit: int) -> list[DueDelivery]:
    """Read at most `limit` deliveries of an endpoint that are due at `now` (ms), longest due first; none if paused."""
    values = {"endpoint_id": endpoint_id, "now": now, "limit": limit}
    return list(due_deliveries_from_rows(await store.read("read_due_deliveries", values)))


async def read_delivery(store: Store, delivery_id: str) -> Delivery | None:
    """Read one delivery, or None."""
    rows = await store.read("read_delivery", {"delivery_id": delivery_id})
    return Delivery(**rows[0]) if rows else None


async def list_deliveries(
    store: Store, *, state: Literal["dead", "discarded"], limit: int, before: str = AFTER_ALL_IDENTIFIERS
) -> list[Delivery]:
    """Read a page of dead or discarded deliveries, newest first."""
    rows = await store.read(f"list_{state}_deliveries", {"limit": limit, "before": before})
    return [Delivery(**row) for row in rows]


async def count_needing_attention(store: Store) -> dict[str, int]:
    """Count dead, discarded and paused deliveries, and conflict and orphan receipts."""
    receipts = await store.read("count_receipts_needing_attention", {})
    ended = await store.read("count_deliveries_needing_attention", {})
    found = {row["result"]: row["number"] for row in receipts} | {row["state"]: row["number"] for row in ended}
    return {word: found.get(word, 0) for word in ("dead", "discarded", "paused", "conflict", "orphan")}


async def list_deliveries_of_subject(store: Store, subject: str) -> list[Delivery]:
    """Read the deliveries of a subject (job, run, endpoint or output), in the order of its events."""
    return [Delivery(**row) for row in await store.read("list_deliveries_of_subject", {"subject": subject})]


async def list_attempts(store: Store, delivery_id: str) -> list[Attempt]:
    """Read the attempts of a delivery, first to last."""
    return [Attempt(**row) for row in await store.read("list_attempts", {"delivery_id": delivery_id})]


def _attempted(delivery_id: str, attempted: Attempted | None) -> tuple[Call, ...]:
    if attempted is None:
        return ()
    values = msgspec.structs.asdict(attempted) | {"delivery_id": delivery_id}
    return (Call("insert_attempt", values), Call("count_attempt", values))
