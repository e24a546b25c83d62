"""Events: the steps of a transaction that insert an event and, if it is public, its deliveries."""

from collections.abc import Sequence

from ledger.records import EventType
from ledger.rows import Event
from ledger.storage.store import Store
from ledger.storage.transaction import Call

_INSERT = {"job": Call("insert_event"), "endpoint": Call("insert_endpoint_event")}
_FAN_OUT = (Call("fan_out", wakes_each="endpoint_id"), Call("enqueue_deliveries", wakes=("deliver",)))


def publish(event: EventType) -> tuple[Call, ...]:
    """Return the steps for an event. They need `event_values` among the values of the transaction."""
    return (_INSERT[event.subject], *(_FAN_OUT if event.public else ()))


def event_values(
    event: EventType, subject: str, transition: str, *, now: int, data: str | None = None
) -> dict[str, object]:
    """Return the values for `publish`. `transition` is the id of the transition of `subject`, `data` JSON text."""
    return {
        "event": event.value,
        "public": int(event.public),
        "subject": subject,
        "transition": transition,
        "now": now,
        "data": data,
    }


async def list_events(store: Store, subject: str, *, after: int = 0) -> Sequence[Event]:
    """Read the events of a subject with sequence numbers above `after`, in order."""
    return [Event(**row) for row in await store.read("list_events", {"subject": subject, "after": after})]
