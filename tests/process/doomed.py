"""The real receiver, which kills itself with SIGKILL at one exact step: `python -m tests.process.doomed`.

DOOM says at which:

- `before settle_job source=poll`: inside the first transaction in which that named statement changed something, with
  that value if one is given, when everything is written and nothing is committed;
- `after settle_job source=poll`: the same, once the commit has returned and before anybody hears of it;
- `answered http://…`: once a POST to an address that begins so was answered, before the answer is noted.
"""

import os
import signal
import sqlite3
from collections.abc import Sequence
from typing import Any, NoReturn

from ledger.sqlite import store as sqlite
from ledger.storage.statements import statements
from ledger.storage.transaction import Result, Transaction
from outbound.client import Client
from providers.http import Request, Response
from renderhook.cli import main

run_batch = sqlite.run_batch
exchange = Client.__call__


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives SIGKILL")


class DoomedConnection:
    """The writer's connection, for one batch. A statement that is rolled back was not met: it may be run again."""

    def __init__(self, connection: sqlite3.Connection, moment: str, statement: str, value: str) -> None:
        self._connection = connection
        self._moment = moment
        self._statement = statements()[statement]
        self._name, _, self._value = value.partition("=")
        self._met = self._met_before = False

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, text: str) -> None:
        """Begin or end a transaction, or the process."""
        if text == "COMMIT" and self._met:
            if self._moment == "after":
                self._connection.execute("COMMIT")
            die()
        self.look(text, ())
        self._connection.execute(text)

    def cursor(self) -> "DoomedCursor":
        return DoomedCursor(self, self._connection)

    def look(self, text: str, values: Sequence[Any], *, changed: bool = False) -> None:
        """See whether this is the statement, and whether it will be committed."""
        if text == "BEGIN IMMEDIATE":
            self._met = False
        elif text == "SAVEPOINT transaction":
            self._met_before = self._met
        elif text == "ROLLBACK TO transaction":
            self._met = self._met_before
        elif changed and text == self._statement.text:
            named = dict(zip(self._statement.names, values, strict=True))
            self._met = self._met or not self._name or named[self._name] == self._value


class DoomedCursor:
    """A cursor of it. A statement is run to its end at once: only then is it known what it changed."""

    def __init__(self, doomed: DoomedConnection, connection: sqlite3.Connection) -> None:
        self._doomed = doomed
        self._connection = connection
        self._cursor = connection.cursor()
        self._rows: list[Any] = []

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, text: str, values: Sequence[Any] = ()) -> "DoomedCursor":
        changes = self._connection.total_changes
        self._rows = self._cursor.execute(text, values).fetchall()
        self._doomed.look(text, values, changed=self._connection.total_changes > changes)
        return self

    def fetchall(self) -> list[Any]:
        return self._rows


def doom(moment: str, what: str, value: str = "") -> None:
    """Arrange for the end."""

    def doomed_batch(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        return run_batch(DoomedConnection(connection, moment, what, value), transactions)  # type: ignore[arg-type]  # it stands in for a connection, and has what run_batch uses of one

    async def doomed_exchange(self: Client, request: Request) -> Response:
        answer = await exchange(self, request)
        if request.method == "POST" and request.url.startswith(what):
            die()
        return answer

    if moment == "answered":
        Client.__call__ = doomed_exchange  # type: ignore[method-assign]  # the process must die in the middle of an exchange, which only this can bring about
    else:
        sqlite.run_batch = doomed_batch


if __name__ == "__main__":
    doom(*os.environ["DOOM"].split())
    main(["serve"])
