"""The events and receipts of a job as JSON."""

import msgspec

from ledger.records import Source
from ledger.rows import Event, Receipt
from receiver.views.times import rfc3339


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a job."""

    sequence: int
    type: str
    timestamp: str


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """One verified report. `headers` are the signed ones; `body` is the original body, as text."""

    id: str
    source: Source
    provider_request_id: str | None
    result: str
    received_at: str
    headers: msgspec.Raw
    body: str


def view_event(event: Event) -> EventView:
    """Show one event of a job."""
    return EventView(sequence=event.sequence, type=event.type, timestamp=rfc3339(event.at))


def view_receipt(receipt: Receipt) -> ReceiptView:
    """Show one verified report."""
    return ReceiptView(
        id=receipt.id,
        source=receipt.source,
        provider_request_id=receipt.request_id,
        result=receipt.result,
        received_at=rfc3339(receipt.received_at),
        headers=msgspec.Raw(receipt.headers.encode()),
        body=receipt.body.decode("utf-8", "replace"),
    )
