"""Writes NOTIFY_URL and NOTIFY_SECRET to the database at start. While one is absent, deliveries wait."""

from ledger.ledger import Ledger
from receiver.setting_declarations import NO_ENDPOINT
from receiver.settings import Settings
from telemetry.emit import Emit


async def put_notify_settings(settings: Settings, ledger: Ledger, *, emit: Emit) -> None:
    """Set, pause or remove the endpoint of NOTIFY_URL, and pause what cannot be signed.

    Deliveries that wait for a setting are emitted as `endpoint.paused`, once for each setting.
    """
    if settings.notify_url == NO_ENDPOINT:
        if discarded := await ledger.remove_settings_endpoint():
            emit("endpoint.removed", discarded=discarded)
    else:
        await ledger.put_settings_endpoint(settings.notify_url)
    await ledger.put_signing(possible=bool(settings.notify_secret))
    for reason, number in (await ledger.count_paused_deliveries()).items():
        emit("endpoint.paused", reason=reason, pending=number)
