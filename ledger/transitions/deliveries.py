"""Deliveries: one event for one endpoint, attempted until it is delivered, dead or discarded."""

from collections.abc import Sequence

import msgspec

from ledger.identifiers import new_identifier
from ledger.records import EventType
from ledger.requests import Attempted, Ending, Task
from ledger.rows import Attempt, Delivery, DueDelivery, due_deliveries_from_rows
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction, nothing
from ledger.transitions.events import event_values, publish
from settings.redaction import without_query

BEGUN = "the process stopped during this attempt"
"""The error of an attempt that was counted before it was made, until it has ended."""


def begin(delivery_id: str, *, at: int, due_at: int) -> Transaction[None]:
    """Count an attempt as failed before it is made: if it ends the process, the next one is due at `due_at` (ms)."""
    begun = Attempted(at=at, latency_ms=0, status=None, error=BEGUN, response=None)
    return retry(delivery_id, begun, due_at=due_at, counted=False)


def withdraw(delivery_id: str, *, due_at: int) -> Transaction[None]:
    """Forget the attempt that was counted, because it was not made. The delivery is due at `due_at` (ms)."""
    steps = (Call("delete_attempt"), Call("discount_attempt"))
    return Transaction(steps=steps, values={"delivery_id": delivery_id, "due_at": due_at}, read=nothing)


def finish(
    delivery_id: str,
    attempted: Attempted | None,
    ending: Ending,
    *,
    now: int,
    reason: str | None = None,
    counted: bool = False,
) -> Transaction[None]:
    """End a delivery, and record the attempt that ended it if there was one."""
    values = {"delivery_id": delivery_id, "now": now, "state": ending, "reason": reason}
    steps = (*_attempted(delivery_id, attempted, counted=counted), Call("settle_delivery"))
    return Transaction(steps=steps, values=values, read=nothing)


def disable_endpoint(
    delivery: DueDelivery, attempted: Attempted, *, reason: str, now: int, counted: bool = False
) -> Transaction[None]:
    """End a delivery as dead, disable its endpoint, and create the event `endpoint.disabled`."""
    endpoint = delivery.endpoint
    data = {"id": endpoint.id, "url": without_query(endpoint.url), "reason": reason}
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
        *_attempted(delivery.delivery_id, attempted, counted=counted),
        Call("settle_delivery"),
        Call("disable_endpoint"),
        *publish(EventType.ENDPOINT_DISABLED),
    )
    return Transaction(steps=steps, values=values, read=nothing)


def retry(delivery_id: str, attempted: Attempted, *, due_at: int, counted: bool = False) -> Transaction[None]:
    """Record a failed attempt; the next one is due at `due_at` (ms)."""
    reschedule = Call("reschedule_counted_delivery" if counted else "reschedule_delivery")
    steps = (*_attempted(delivery_id, attempted, counted=counted), reschedule)
    return Transaction(steps=steps, values={"delivery_id": delivery_id, "due_at": due_at}, read=nothing)


def release(task: Task, *, now: int) -> Transaction[None]:
    """Release an endpoint: its task is due with its next delivery, or is deleted if there is none."""
    steps = (
        Call("release_contended_endpoint", wakes=("deliver",)),
        Call("release_endpoint", wakes=("deliver",)),
        Call("finish_work"),
    )
    return Transaction(steps=steps, values=task.values | {"now": now}, read=nothing)


def replay(chosen: Sequence[Delivery], *, now: int) -> Transaction[int]:
    """Make deliveries pending and due now under their ids, with a fresh schedule. The result is how many.

    One that is no longer in the state that was read is left as it is, and so is one whose endpoint was removed.
    Endpoints that had answered 410 are enabled.
    """
    steps = [Call("replay_delivery", _replayed(each, now), wakes_each="endpoint_id") for each in chosen]
    for endpoint_id in sorted({each.endpoint_id for each in chosen}):  # in one order, against deadlocks
        values = {"endpoint_id": endpoint_id, "now": now}
        steps += [Call("enable_endpoint", values), Call("enqueue_replayed", values, wakes=("deliver",))]

    def read(rows: Sequence[Rows]) -> int:
        return sum(map(len, rows[: len(chosen)]))

    return Transaction(steps=tuple(steps), values={}, read=read)


async def read_due(store: Store, endpoint_id: str, *, now: int, limit: int) -> list[DueDelivery]:
    """Read at most `limit` deliveries of an endpoint that are due at `now` (ms), longest due first; none if paused."""
    values = {"endpoint_id": endpoint_id, "now": now, "limit": limit}
    return list(due_deliveries_from_rows(await store.read("read_due_deliveries", values)))


async def read_delivery(store: Store, delivery_id: str) -> Delivery | None:
    """Read one delivery, or None."""
    rows = await store.read("read_delivery", {"delivery_id": delivery_id})
    return Delivery(**rows[0]) if rows else None


async def count_needing_attention(store: Store) -> dict[str, int]:
    """Count dead, discarded and paused deliveries, conflict and orphan receipts, and held jobs."""
    receipts = await store.read("count_receipts_needing_attention", {})
    ended = await store.read("count_deliveries_needing_attention", {})
    [held] = await store.read("count_held_jobs", {})
    found = {row["result"]: row["number"] for row in receipts} | {row["state"]: row["number"] for row in ended}
    found["held"] = held["number"]
    return {word: found.get(word, 0) for word in ("dead", "discarded", "paused", "conflict", "orphan", "held")}


async def list_deliveries_of_subject(store: Store, subject: str) -> list[Delivery]:
    """Read the deliveries of a subject (job, run, endpoint or output), in the order of its events."""
    return [Delivery(**row) for row in await store.read("list_deliveries_of_subject", {"subject": subject})]


async def list_attempts(store: Store, delivery_id: str) -> list[Attempt]:
    """Read the attempts of a delivery, first to last."""
    return [Attempt(**row) for row in await store.read("list_attempts", {"delivery_id": delivery_id})]


def _attempted(delivery_id: str, attempted: Attempted | None, *, counted: bool) -> tuple[Call, ...]:
    if attempted is None:
        return ()
    values = msgspec.structs.asdict(attempted) | {"delivery_id": delivery_id}
    if counted:
        return (Call("amend_attempt", values),)
    return (Call("insert_attempt", values), Call("count_attempt", values))


def _replayed(delivery: Delivery, now: int) -> dict[str, object]:
    return {"delivery_id": delivery.id, "endpoint_id": delivery.endpoint_id, "was": delivery.state, "now": now}
