"""Lists as JSON."""

import msgspec

from receiver.views.delivery import DeliveryView
from receiver.views.history import EventView, ReceiptView
from receiver.views.job import JobView


class JobsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first. `next_cursor` is null on the last page."""

    jobs: tuple[JobView, ...]
    next_cursor: str | None


class DeliveriesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries. `next_cursor` is null on the last page."""

    deliveries: tuple[DeliveryView, ...]
    next_cursor: str | None


class EventsList(msgspec.Struct, frozen=True, kw_only=True):
    """A job's events, in order."""

    events: tuple[EventView, ...]


class ReceiptsList(msgspec.Struct, frozen=True, kw_only=True):
    """A job's receipts, in the order they came."""

    receipts: tuple[ReceiptView, ...]
