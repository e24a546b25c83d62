"""Deliveries and their attempts as JSON."""

from typing import Any

import msgspec

from ledger.rows import Attempt, Delivery
from receiver.views.times import rfc3339, rfc3339_or_none


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery. `subject` is the id of the subject of its event, such as a job; `attempts` counts the POSTs.

    `reason` says why it is dead or discarded.
    """

    id: str
    subject: str
    sequence: int
    endpoint_id: str
    state: str
    attempts: int
    created_at: str
    finalized_at: str | None
    reason: str | None


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One POST. `status` is null when no response was read; `response` is its first 2,048 bytes, as text."""

    number: int
    at: str
    status: int | None
    latency_ms: int
    error: str | None
    response: str | None


class DeliveryDetail(DeliveryView, frozen=True, kw_only=True):
    """A delivery with every attempt."""

    attempt_log: tuple[AttemptView, ...]


def view_delivery(delivery: Delivery) -> DeliveryView:
    """Show a delivery."""
    return DeliveryView(**_fields(delivery))


def view_delivery_detail(delivery: Delivery, attempts: list[Attempt]) -> DeliveryDetail:
    """Show a delivery with every attempt."""
    return DeliveryDetail(**_fields(delivery), attempt_log=tuple(map(_view_attempt, attempts)))


def _fields(delivery: Delivery) -> dict[str, Any]:
    times = {"created_at": rfc3339(delivery.created_at), "finalized_at": rfc3339_or_none(delivery.finalized_at)}
    return msgspec.structs.asdict(delivery) | times


def _view_attempt(attempt: Attempt) -> AttemptView:
    response = None if attempt.response is None else attempt.response.decode("utf-8", "replace")
    return AttemptView(**msgspec.structs.asdict(attempt) | {"at": rfc3339(attempt.at), "response": response})
