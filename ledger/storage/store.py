"""The interface of a database, which SQLite and Postgres implement."""

import asyncio
from collections.abc import Mapping
from typing import Protocol, TypeVar

from ledger.errors import LedgerError
from ledger.storage.transaction import Rows, Transaction

T = TypeVar("T")


class Store(Protocol):
    """A database that commits transactions and runs reading statements."""

    @property
    def poll_ms(self) -> int:
        """How often a worker must poll (ms), because other processes may enqueue work without setting `due`."""

    async def write(self, transaction: Transaction[T]) -> T:
        """Commit and fsync `transaction`, and return what it read.

        Cancelling the caller does not cancel the transaction. Raises `Unavailable` if nothing was written and the same
        call may succeed later, `Unanswered` if it may have been written, `Contradiction` if a constraint rejected it.
        """

    async def read(self, statement: str, values: Mapping[str, object]) -> Rows:
        """Run one named reading statement, which sees every earlier commit. Raises `Unavailable`."""

    def due(self, what: str) -> asyncio.Event:
        """Return the event that is set when a commit may have made something due.

        `what` is a kind of work, or an endpoint's id for its deliveries. It is kept only while a caller holds it.
        """

    def fault(self) -> LedgerError | None:
        """Return why nothing can be recorded until an operator acts, or None. It asks no server."""

    async def close(self) -> None:
        """Commit what waits, then close the database."""
