"""Opens the database at start, and watches that it stays in its place."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.open import open_ledger
from receiver.settings import Settings
from telemetry.emit import Emit
from work.shutdown import Shutdown, unless_shutdown

OPEN_SECONDS = 20.0
"""How long to wait for a database that is not available at start: it may be starting too."""

RETRY_SECONDS = 1.0

WATCH_SECONDS = 1.0
"""How often it is asked whether the database's file is in its place."""


@contextlib.asynccontextmanager
async def open_database(
    settings: Settings, *, emit: Emit, shutdown: Shutdown, alone: bool = False
) -> AsyncIterator[Ledger]:
    """Open the database, migrated, and wait for it if it is not available. Raises LedgerError, ShutdownRequested.

    With `alone` it is refused while another process has it open.
    """
    ledger = await _open(settings, emit, shutdown, alone=alone)
    watching = asyncio.create_task(_watch(ledger, emit), name="watch the database's file")
    try:
        yield ledger
    finally:
        watching.cancel()
        await ledger.close()


async def _watch(ledger: Ledger, emit: Emit) -> None:
    reported = ""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        words = str(ledger.fault() or "")
        if words and words != reported:
            emit("database.file_lost", error=words)
        reported = words


async def _open(settings: Settings, emit: Emit, shutdown: Shutdown, *, alone: bool) -> Ledger:
    give_up_at, reported = asyncio.get_running_loop().time() + OPEN_SECONDS, ""
    while True:
        opening = open_ledger(
            settings.database_url,
            providers=settings.providers,
            waiting_limit=settings.max_waiting_writes,
            connections=settings.database_connections,
            seconds=settings.database_timeout_seconds,
            alone=alone,
        )
        try:
            return await unless_shutdown(opening, shutdown)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
            if str(error) != reported:
                emit("database.call_failed", error=str(error), retried_for=f"{OPEN_SECONDS:g} s")
            reported = str(error)
        await unless_shutdown(asyncio.sleep(RETRY_SECONDS), shutdown)
