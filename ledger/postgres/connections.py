"""Connections to Postgres: how they are opened, what they promise, and how many there are."""

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

from ledger.errors import CannotOpen
from ledger.postgres.faults import fault_of
from ledger.urls import UNREADABLE

CONNECT_SECONDS = 3
"""How long one attempt to connect may take: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT."""

FRESH_SECONDS = 1.0
"""A connection that was used so short a while ago is taken to be alive; an older one is asked first."""

APPLICATION = "renderhook"
"""The name of our connections in pg_stat_activity: a copy looks there for receivers."""

_HOPELESS = re.compile(
    r"authentication failed|does not exist|pg_hba|not permitted to log in|permission denied|certificate|SSL"
    r"|invalid .*(value|option)"
)
"""Words of libpq's that an operator must hear."""

Connection = AsyncConnection[tuple[object, ...]]
Pool = AsyncConnectionPool[Connection]


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every transaction: its bounds in seconds, and that a commit is on the disk when it is answered.

    `pooled` says that somebody between us and the database (pgbouncer) may give each transaction another session: then
    nothing is prepared, nothing listened to, and each transaction makes these session for itself.
    """

    seconds: float
    pooled: bool

    def settings(self, *, local: bool) -> str:
        """Be the statement that makes them, for one transaction or for the session."""
        kept = str(local).lower()
        timeouts = {
            "statement_timeout": self.seconds,
            # short enough to fail with its batch and twice alone, and leave time for the others of the batch
            "lock_timeout": self.seconds / 4,
            "idle_in_transaction_session_timeout": self.seconds * 2,
        }
        calls = [f"set_config('{name}', '{seconds * 1000:.0f}ms', {kept})" for name, seconds in timeouts.items()]
        # every statement has its index; a plan made while a table was empty would read all of it when it is not
        calls.append(f"set_config('enable_seqscan', 'off', {kept})")
        # what is forbidden is only made dear, and for a dear plan Postgres would compile code, at every execution
        calls.append(f"set_config('jit', 'off', {kept})")
        # off and local answer before the disk or the standby has it; remote_apply session more than on does
        calls.append(
            "set_config('synchronous_commit', CASE current_setting('synchronous_commit') "
            f"WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, {kept})"
        )
        return f"SELECT {', '.join(calls)}"

    @property
    def opening(self) -> Sequence[str]:
        """Begin a transaction."""
        return ("BEGIN", self.settings(local=True)) if self.pooled else ("BEGIN",)


async def connect(url: str, *, name: str = APPLICATION) -> Connection:
    """Open one connection called `name`, in autocommit. Raises LedgerError: `CannotOpen` when an operator must act."""
    try:
        # nothing is prepared: a pooler's next client would find it
        return await AsyncConnection.connect(url, prepare_threshold=None, **_options(url, name))
    except psycopg.Error as error:
        raise _refused(error) from error


async def is_pooled(connection: Connection) -> bool:
    """Tell whether a pooler stands between: the process that answers is not the one that greeted us."""
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def make_pool(url: str, session: SessionSettings, *, connections: int) -> Pool:
    """Make the pool, not opened, of at most `connections`."""
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
        reconnect_timeout=CONNECT_SECONDS,  # given up soon, because whoever asks next makes it try again at once
        name="ledger",
    )


def _options(url: str, name: str) -> dict[str, Any]:
    known = conninfo_to_dict(url)
    return {"autocommit": True, "application_name": name} | (
        {} if "connect_timeout" in known else {"connect_timeout": CONNECT_SECONDS}
    )


def _refused(error: psycopg.Error) -> Exception:
    words = " ".join(str(error).split())
    # What is refused while connecting carries no code: https://www.psycopg.org/psycopg3/docs/api/errors.html
    if isinstance(error, psycopg.ProgrammingError):  # libpq cannot read the URL, and would quote what is in it
        return CannotOpen(UNREADABLE)
    if _HOPELESS.search(words):
        return CannotOpen(f"cannot open the ledger: {words}; see DATABASE_URL")
    return fault_of(error)
