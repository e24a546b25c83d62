"""Opens the notifier from the settings."""

import asyncio

from ledger.clock import wall_clock
from ledger.ledger import Ledger
from outbound.clients import Clients, Limits
from receiver.notifier.attempts import KEPT_BYTES, AttemptSender
from receiver.notifier.bodies import Bodies
from receiver.notifier.notifier import Notifier
from receiver.notifier.requests import FIRST_WINDOW, WIDEST_WINDOW
from receiver.settings import Settings
from telemetry.emit import Emit
from work.open_workers import TaskKind


def delivery_limits(settings: Settings) -> Limits:
    """Return the limits of attempts: room for every endpoint's first requests, and for some at their widest."""
    return Limits(
        concurrency=FIRST_WINDOW * settings.notify_concurrency + 4 * WIDEST_WINDOW,
        seconds=settings.notify_timeout_seconds,
        max_bytes=KEPT_BYTES,
    )


def open_notifier(
    settings: Settings, ledger: Ledger, clients: Clients, *, emit: Emit, shutdown_requested: asyncio.Event
) -> TaskKind:
    """Make the handler of `deliver` tasks."""
    sender = AttemptSender(
        ledger,
        clients.deliver,
        clients.targets,
        name_ready=clients.names.ready,
        bodies=Bodies(ledger, most_bytes=settings.notify_bytes_in_flight),
        clock=wall_clock,
        emit=emit,
        secrets=settings.notify_secret,
        at_once=delivery_limits(settings).concurrency,
    )
    hold_ms = round((settings.notify_timeout_seconds + 5) * 1000)
    notifier = Notifier(
        ledger,
        sender,
        clock=wall_clock,
        hold_ms=hold_ms,
        stop=shutdown_requested,
        at_once=settings.notify_concurrency,
    )
    # The last attempt may begin when the endpoint's time is over.
    longest_ms = hold_ms + round((settings.notify_timeout_seconds + 10) * 1000)
    return TaskKind(
        kind="deliver", handle=notifier.handle, concurrency=settings.notify_concurrency, longest_ms=longest_ms
    )
