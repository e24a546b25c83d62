"""Opens the database at start."""

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

CLOSE_SECONDS = 0.1
"""How long closing the database may take when the time for shutdown is over."""


@contextlib.asynccontextmanager
async def open_database(settings: Settings, *, emit: Emit, shutdown: Shutdown) -> AsyncIterator[Ledger]:
    """Open the database, migrated, and wait for it if it is not available. Raises LedgerError, ShutdownRequested.

    A database that does not answer at shutdown is left as it is: what it has not confirmed was answered 503 or nothing.
    """
    ledger = await _open(settings, emit, shutdown)
    try:
        yield ledger
    finally:
        closing = asyncio.create_task(ledger.close(), name="close the database")
        await asyncio.wait({closing}, timeout=max(CLOSE_SECONDS, shutdown.seconds_left()))
        if closing.done():
            closing.result()
        else:
            emit("database.close_abandoned")


async def _open(settings: Settings, emit: Emit, shutdown: Shutdown) -> Ledger:
    give_up_at = asyncio.get_running_loop().time() + OPEN_SECONDS
    while True:
        opening = open_ledger(
            settings.database_url,
            providers=settings.providers,
            waiting_limit=settings.max_waiting_writes,
            connections=settings.database_connections,
            seconds=settings.database_timeout_seconds,
        )
        try:
            return await unless_shutdown(opening, shutdown)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
            emit("database.call_failed", error=str(error))
        await unless_shutdown(asyncio.sleep(RETRY_SECONDS), shutdown)
