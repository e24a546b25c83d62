"""What a database must do for the ledger. SQLite does it in `ledger/sqlite/store.py`."""

import asyncio
from collections.abc import Mapping
from typing import Protocol, TypeVar

from ledger.storage.transaction import Rows, Transaction

T = TypeVar("T")


class Store(Protocol):
    """A database that runs transactions, each whole or not at all, and reads."""

    @property
    def poll_ms(self) -> int:
        """The longest time, in ms, that a worker may rely on `due` to be woken for what other processes enqueue."""

    async def write(self, transaction: Transaction[T]) -> T:
        """Run `transaction` in one transaction and return what it read, once it is committed and fsynced.

        Cancelling the caller does not cancel the transaction. Raises `Unavailable` when nothing was written and
        the same call may succeed later, `Contradiction` when the schema refused it.
        """

    async def read(self, statement: str, values: Mapping[str, object]) -> Rows:
        """Run one named reading statement, seeing every transaction that was committed before. Raises `Unavailable`."""

    def due(self, what: str) -> asyncio.Event:
        """Return the event that is set when a committed transaction may have made something due.

        `what` is a kind of work, or an endpoint's id for its deliveries. The event is known while somebody holds it.
        """

    async def close(self) -> None:
        """Commit what is waiting, then let the database go."""
