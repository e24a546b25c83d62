"""Deliveries by a filter: listed page by page, and replayed."""

from collections.abc import Sequence

from ledger.requests import AFTER_ALL_IDENTIFIERS, DeliveryFilter, DeliveryPage
from ledger.rows import Delivery
from ledger.storage.store import Store
from ledger.storage.transaction import Rows
from ledger.transitions.deliveries import list_deliveries_of_subject, replay

MOST_READ = 10_000
"""Deliveries read for one page, however few of them match its filter."""

REPLAYED_AT_ONCE = 500
"""Deliveries replayed in one transaction."""


async def list_deliveries(
    store: Store, wanted: DeliveryFilter, *, limit: int, before: str = AFTER_ALL_IDENTIFIERS
) -> DeliveryPage:
    """Read a page of at most `limit` deliveries, newest first. Those of a subject are one page, by its events."""
    if wanted.subject is not None:
        found = await list_deliveries_of_subject(store, wanted.subject)
        return DeliveryPage(deliveries=tuple(filter(wanted.matches, found)))
    values = {
        "state": wanted.state,
        "endpoint_id": wanted.endpoint_id,
        "since": wanted.since,
        "until": wanted.until,
        "before": before,
        "scan": MOST_READ,
        "limit": limit + 1,
    }
    if wanted.state in {"dead", "discarded"}:
        return _page(await store.read(f"list_{wanted.state}_deliveries", values), limit, ())
    found_rows = await store.read("list_deliveries", values)
    end = await store.read("end_of_deliveries", values) if len(found_rows) <= limit else ()
    return _page(found_rows, limit, end)


async def replay_deliveries(store: Store, wanted: DeliveryFilter, *, now: int) -> int:
    """Replay every delivery that matches the filter, newest first. Returns how many; each once. Raises LedgerError."""
    number, before = 0, AFTER_ALL_IDENTIFIERS
    while True:
        page = await list_deliveries(store, wanted, limit=REPLAYED_AT_ONCE, before=before)
        for start in range(0, len(page.deliveries), REPLAYED_AT_ONCE):
            number += await store.write(replay(page.deliveries[start : start + REPLAYED_AT_ONCE], now=now))
        if page.next_cursor is None:
            return number
        before = page.next_cursor


def _page(rows: Rows, limit: int, end: Sequence[dict[str, object]]) -> DeliveryPage:
    page = tuple(Delivery(**row) for row in rows[:limit])
    if len(rows) > limit:
        return DeliveryPage(deliveries=page, next_cursor=page[-1].id)
    return DeliveryPage(deliveries=page, next_cursor=str(end[0]["id"]) if end else None)
