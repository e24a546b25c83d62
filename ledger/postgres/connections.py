"""Connections to Postgres: how they are opened, their session settings, and the pool."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from ledger.errors import CannotOpen, LedgerError, Locked, Unanswered, Unavailable
from ledger.postgres.faults import fault_of
from ledger.urls import UNREADABLE

CONNECT_SECONDS = 3
"""How long one attempt to connect may take: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT."""

FRESH_SECONDS = 1.0
"""A connection that was idle for longer is checked before use."""

APPLICATION = "renderhook"
"""The application_name of our connections in pg_stat_activity, by which a copy finds running receivers."""

LEAVING_SECONDS, LEAVING_TRIES = 2.0, 20
"""How long the connections of a receiver that has just been stopped may take to go."""

_AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s LIMIT 1"

_NEEDS_OPERATOR = re.compile(
    r"authentication failed|does not exist|pg_hba|not permitted to log in|permission denied|certificate|SSL"
    r"|invalid .*(value|option)"
)
"""Errors of libpq that a retry does not change."""

Connection = AsyncConnection[tuple[object, ...]]
Pool = AsyncConnectionPool[Connection]


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of every session: `seconds` bounds each statement, and a commit is durable when it returns.

    `pooled` means that a pooler (pgbouncer) may give each transaction another session. Nothing is prepared then, there
    is no LISTEN, and each transaction applies the settings to itself.
    """

    seconds: float
    pooled: bool

    def settings(self, *, local: bool) -> str:
        """Return the statement that applies them to the session, or (`local`) to the transaction."""
        kept = str(local).lower()
        timeouts = {
            "statement_timeout": self.seconds,
            # short enough to fail with its batch and twice alone, and leave time for the rest of the batch
            "lock_timeout": self.seconds / 4,
            "idle_in_transaction_session_timeout": self.seconds * 2,
        }
        calls = [f"set_config('{name}', '{seconds * 1000:.0f}ms', {kept})" for name, seconds in timeouts.items()]
        # every statement has an index; a plan made while a table was empty would scan it when it is large
        calls.append(f"set_config('enable_seqscan', 'off', {kept})")
        # enable_seqscan only raises a plan's cost, and Postgres would compile costly plans at every execution
        calls.append(f"set_config('jit', 'off', {kept})")
        # off and local return before the disk or the standby has the commit; remote_apply waits for more than on
        calls.append(
            "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
            f"WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, {kept})"
        )
        return f"SELECT {', '.join(calls)}"

    @property
    def opening(self) -> Sequence[str]:
        """Return the statements that begin a transaction."""
        return ("BEGIN", self.settings(local=True)) if self.pooled else ("BEGIN",)


async def connect(url: str, *, name: str = APPLICATION) -> Connection:
    """Open one connection in autocommit. Raises `CannotOpen` if an operator must act, else another LedgerError."""
    try:
        # nothing is prepared: through a pooler the next client may get the session
        connection = await AsyncConnection.connect(url, prepare_threshold=None, **_options(url, name))
    except psycopg.Error as error:
        raise refusal_of(error, url) from error
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        await connection.close()
        raise CannotOpen(
            f"the encoding of the database is {encoding}, which cannot hold every text: make one with "
            f"CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0, and name it in DATABASE_URL"
        )
    return connection


async def is_pooled(connection: Connection) -> bool:
    """Return whether there is a pooler: the backend that answers is not the one of the handshake."""
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


async def refuse_others(connection: Connection) -> None:
    """Wait until no receiver or worker has a connection to the database. Raises `Locked` if one stays."""
    for _ in range(LEAVING_TRIES):
        if await (await connection.execute(_AT_WORK, [APPLICATION])).fetchone() is None:
            return
        await asyncio.sleep(LEAVING_SECONDS / LEAVING_TRIES)
    raise Locked("a receiver or worker is connected to the database: stop it first")


def make_pool(url: str, session: SessionSettings, *, connections: int) -> Pool:
    """Make a pool of at most `connections`. It is not opened yet."""
    used: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def configure(connection: Connection) -> None:
        if session.pooled:
            connection.prepare_threshold = None
        else:
            await connection.execute(session.settings(local=False))

    async def check(connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if now - used.get(connection, 0.0) > FRESH_SECONDS:
            async with asyncio.timeout(session.seconds / 3):
                await connection.execute("")
        used[connection] = now

    return AsyncConnectionPool(
        url,
        kwargs=_options(url, APPLICATION),
        min_size=1,
        max_size=connections,
        open=False,
        configure=configure,
        check=check,
        timeout=session.seconds / 2,
        max_waiting=1_000,
        reconnect_timeout=CONNECT_SECONDS,  # short: the next request tries again
        name="ledger",
    )


def _options(url: str, name: str) -> dict[str, Any]:
    known = conninfo_to_dict(url)
    # in the connection's own options, which come before those of the role, the database and PGCLIENTENCODING
    return {"autocommit": True, "application_name": name, "client_encoding": "UTF8"} | (
        {} if "connect_timeout" in known else {"connect_timeout": CONNECT_SECONDS}
    )


def refusal_of(error: psycopg.Error, url: str) -> LedgerError:
    """Convert an error of connecting to `url`. The message names DATABASE_URL and never has the password."""
    words = " ".join(str(error).split())
    # An error while connecting has no SQLSTATE: https://www.psycopg.org/psycopg3/docs/api/errors.html
    if isinstance(error, psycopg.ProgrammingError):  # unparsable URL, which the message would quote
        option = re.search(r'invalid URI query parameter: "(\w+)"', words)
        if option and "@" not in url.partition("?")[2]:  # else it may be a part of the password
            return CannotOpen(f"DATABASE_URL: libpq knows no option {option[1]}: leave it out")
        return CannotOpen(f"DATABASE_URL: {UNREADABLE}")
    if _NEEDS_OPERATOR.search(words):
        return CannotOpen(f"cannot open the database: {words}; see DATABASE_URL")
    fault = fault_of(error)
    kind = Unavailable if isinstance(fault, Unanswered) else type(fault)  # nothing was sent
    return kind(f"cannot connect to the database: {words}; see DATABASE_URL")
