"""Opens what submits jobs and polls for them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from ledger.clock import wall_clock
from ledger.ledger import Ledger
from outbound.clients import Clients
from providers.provider import Account
from submitter.poll import Poller
from submitter.submit import Submitter
from telemetry.emit import Emit
from work.open_workers import TaskKind


def open_submitter(
    ledger: Ledger,
    accounts: Mapping[str, Account],
    clients: Clients,
    *,
    emit: Emit,
    resubmit: Literal["never"] | int,
    concurrency: int,
    request_seconds: float,
    give_up_seconds: float,
) -> Sequence[TaskKind]:
    """Make the handlers of `submit` and `poll` tasks. Each kind has `concurrency` requests at once of its own."""
    # Longer than two requests: the claim must not end while a request can still be answered.
    lease_ms = round((2 * request_seconds + 10) * 1000)
    submitter = Submitter(
        ledger,
        accounts,
        clients.submit,
        clock=wall_clock,
        emit=emit,
        resubmit=resubmit,
        lease_ms=lease_ms,
        give_up_after=round(give_up_seconds * 1000),
    )
    poller = Poller(ledger, accounts, clients.poll, clock=wall_clock, emit=emit)
    return [
        TaskKind(kind="submit", handle=submitter.handle, concurrency=concurrency, longest_ms=lease_ms),
        TaskKind(kind="poll", handle=poller.handle, concurrency=concurrency, longest_ms=lease_ms),
    ]
