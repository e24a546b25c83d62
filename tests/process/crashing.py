"""The receiver, which sends itself SIGKILL at one exact step: `python -m tests.process.crashing`.

CRASH_AT is that step:

- `before settle_job source=poll`: inside the first transaction in which that named statement changed something, with
  that value if one is given, when everything is written and nothing is committed;
- `after settle_job source=poll`: the same, once the commit has returned and before its caller resumes;
- `answered http://…`: once a POST to an address that begins so was answered, before the response is recorded.
"""

import os
import signal
import sqlite3
from collections.abc import Sequence
from typing import Any, NoReturn

from ledger.sqlite import store as sqlite
from ledger.sqlite.transactions import run_batch
from ledger.storage.statements import statements
from ledger.storage.transaction import Result, Transaction
from outbound.client import Client
from providers.http import Request, Response
from renderhook.cli import main

exchange = Client.__call__


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("no process survives SIGKILL")


class CrashingConnection:
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
        """Begin or end a transaction, or end the process at COMMIT."""
        if text == "COMMIT" and self._met:
            if self._moment == "after":
                self._connection.execute("COMMIT")
            die()
        self.observe(text, ())
        self._connection.execute(text)

    def cursor(self) -> "CrashingCursor":
        return CrashingCursor(self, self._connection)

    def observe(self, text: str, values: Sequence[Any], *, changed: bool = False) -> None:
        """Note whether this is the statement, and whether it will be committed."""
        if text == "BEGIN IMMEDIATE":
            self._met = False
        elif text == "SAVEPOINT transaction":
            self._met_before = self._met
        elif text == "ROLLBACK TO transaction":
            self._met = self._met_before
        elif changed and text == self._statement.text:
            named = dict(zip(self._statement.names, values, strict=True))
            self._met = self._met or not self._name or named[self._name] == self._value


class CrashingCursor:
    """A cursor of it. A statement is run to its end at once: only then is it known what it changed."""

    def __init__(self, crashing: CrashingConnection, connection: sqlite3.Connection) -> None:
        self._doomed = crashing
        self._connection = connection
        self._cursor = connection.cursor()
        self._rows: list[Any] = []

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, text: str, values: Sequence[Any] = ()) -> "CrashingCursor":
        changes = self._connection.total_changes
        self._rows = self._cursor.execute(text, values).fetchall()
        self._doomed.observe(text, values, changed=self._connection.total_changes > changes)
        return self

    def fetchall(self) -> list[Any]:
        return self._rows


def crash_at(moment: str, what: str, value: str = "") -> None:
    """Replace what must not return."""

    def crashing_batch(connection: sqlite3.Connection, transactions: Sequence[Transaction[Any]]) -> Sequence[Result]:
        return run_batch(CrashingConnection(connection, moment, what, value), transactions)  # type: ignore[arg-type]  # it stands in for a connection, and has what run_batch uses of one

    async def crashing_exchange(self: Client, request: Request) -> Response:
        answer = await exchange(self, request)
        if request.method == "POST" and request.url.startswith(what):
            die()
        return answer

    if moment == "answered":
        Client.__call__ = crashing_exchange  # type: ignore[method-assign]  # the process must die between a response and its recording
    else:
        sqlite.run_batch = crashing_batch  # type: ignore[attr-defined]  # replaced where it is called


if __name__ == "__main__":
    crash_at(*os.environ["CRASH_AT"].split())
    main(["serve"])
