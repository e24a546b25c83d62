"""Endpoints: that of NOTIFY_URL, and pauses while a setting is absent."""

from collections.abc import Mapping

from ledger.requests import UNSIGNED
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Transaction, nothing

SETTINGS_ENDPOINT = "ep_settings"
"""The endpoint of NOTIFY_URL."""

NO_URL = "NOTIFY_URL is not set"
REMOVED = "NOTIFY_URL=none removed the endpoint"


def put_settings_endpoint(url: str | None, *, now: int) -> Transaction[None]:
    """Set the URL of the endpoint of NOTIFY_URL. None pauses it, so that its deliveries wait."""
    values = {"endpoint_id": SETTINGS_ENDPOINT, "url": url, "now": now, "reason": NO_URL}
    if url is None:
        return Transaction(steps=(Call("pause_endpoint"),), values=values, read=nothing)
    steps = (Call("enqueue_paused_endpoints", wakes=("deliver",)), Call("put_settings_endpoint"))
    return Transaction(steps=steps, values=values, read=nothing)


def remove_settings_endpoint(*, now: int) -> Transaction[int]:
    """Remove the endpoint of NOTIFY_URL and discard its pending deliveries. The result is how many."""
    values = {"endpoint_id": SETTINGS_ENDPOINT, "now": now, "reason": REMOVED}
    steps = (Call("remove_endpoint"), Call("discard_deliveries"))
    return Transaction(steps=steps, values=values, read=lambda rows: len(rows[1]))


def put_signing(*, possible: bool, now: int) -> Transaction[None]:
    """Pause the endpoints without secrets of their own unless signing is `possible`; resume them if it is."""
    values = {"now": now, "reason": UNSIGNED}
    resume = (Call("enqueue_paused_endpoints", wakes=("deliver",)), Call("resume_unsigned_endpoints"))
    return Transaction(steps=resume if possible else (Call("pause_unsigned_endpoints"),), values=values, read=nothing)


def pause(endpoint_id: str, reason: str, *, now: int) -> Transaction[None]:
    """Pause an endpoint, so that its deliveries wait."""
    values = {"endpoint_id": endpoint_id, "reason": reason, "now": now}
    return Transaction(steps=(Call("pause_endpoint"),), values=values, read=nothing)


async def count_paused_deliveries(store: Store) -> Mapping[str, int]:
    """Count the deliveries that wait for paused endpoints, by the reason of the pause."""
    return {row["reason"]: row["number"] for row in await store.read("count_paused_deliveries", {})}
