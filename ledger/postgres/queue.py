"""The work queue on Postgres: Procrastinate's workers on the ledger's own connections, for one kind of work each.

What is to be done is put there by the ledger's statements (`ledger/sql/postgres/work.sql`), in their transactions.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, LiteralString, TypeVar

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy, exceptions, sql
from procrastinate.connector import Notify
from psycopg.errors import ForeignKeyViolation

from ledger.errors import LedgerError, Unavailable
from ledger.postgres.faults import fault_of
from ledger.postgres.store import PostgresStore
from ledger.postgres.upkeep import STALLED_SECONDS, live_again, mend, put_back_unheard, recover
from ledger.requests import Kind, Task
from ledger.storage.transaction import Transaction
from telemetry.emit import Emit

T = TypeVar("T")

POLL_SECONDS, POLL_SECONDS_POOLED = 5.0, 1.0
"""How often to look for tasks of which nobody told us: a pooler passes no word on."""

BEAT_SECONDS = 5.0
"""How often a worker says that it lives."""

AGAIN_SECONDS = 0.5
ECHO_SECONDS = 0.05
LONGEST_STATEMENT_SECONDS = 5.0

_INSERTED = '{"type": "job_inserted", "job_id": 0}'


class Queue:
    """One of Procrastinate's queues, and its worker. What it does is said by those who are made of it."""

    def __init__(self, store: PostgresStore, name: str, emit: Emit, *, concurrency: int) -> None:
        self.name = name
        self._store = store
        self._emit = emit
        self._concurrency = concurrency
        self._connector = _Connector(store, name, emit)
        self._app = App(connector=self._connector)

    async def run(self, *, stop_seconds: float) -> None:
        """Work until cancelled; then let what is running finish for `stop_seconds`, and put back the rest."""
        await self._connector.take_connections()
        await self._app.run_worker_async(
            queues=[self.name],
            name=self.name,
            concurrency=self._concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=POLL_SECONDS_POOLED if self._store.session.pooled else POLL_SECONDS,
            abort_job_polling_interval=3600.0,  # nobody asks for that
            shutdown_graceful_timeout=stop_seconds,
            delete_jobs="always",
            update_heartbeat_interval=BEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
        )

    def give_up(self) -> None:
        """Wait no longer for a database that is away: the process ends."""
        self._connector.patient = False


class WorkQueue(Queue):
    """One kind of work, done by `perform`, at most `concurrency` at once."""

    def __init__(
        self,
        store: PostgresStore,
        kind: Kind,
        perform: Callable[[Task], Awaitable[None]],
        *,
        emit: Emit,
        concurrency: int,
    ) -> None:
        super().__init__(store, kind, emit, concurrency=concurrency)

        # Whatever it raises, an order to stop among it, the task goes back where it was.
        @self._app.task(name=kind, queue=kind, pass_context=True, retry=RetryStrategy())
        async def _(context: JobContext, subject: str, tries: int) -> None:
            await perform(Task(kind=kind, subject=subject, lease=str(context.job.id), tries=tries))


class UpkeepQueue(Queue):
    """What keeps the queue itself, by one of all processes at a time: a queue apart, so that it waits for no work."""

    def __init__(self, store: PostgresStore, *, emit: Emit, lease_seconds: float) -> None:
        super().__init__(store, "upkeep", emit, concurrency=1)

        # The recovery of stalled jobs: https://procrastinate.readthedocs.io/en/stable/howto/production/retry_stalled_jobs.html
        @self._app.periodic(cron="* * * * * */10")
        @self._app.task(name="recover", queue=self.name, queueing_lock="recover")
        async def _(timestamp: int) -> None:  # noqa: ARG001 - Procrastinate says for which tick it is
            await self._keep("work.recovered", store.write(recover(lease_seconds=lease_seconds)))

        @self._app.periodic(cron="* * * * *")
        @self._app.task(name="mend", queue=self.name, queueing_lock="mend")
        async def _(timestamp: int) -> None:  # noqa: ARG001 - Procrastinate says for which tick it is
            await self._keep("work.missing_enqueued", mend(store))

    async def _keep(self, event: str, done: Awaitable[int]) -> None:
        try:
            if number := await done:
                self._emit(event, number=number)
        except LedgerError as error:  # the next tick comes soon
            self._emit("work.maintenance_failed", what=event, error=str(error))


class _Connector(PsycopgConnector):
    """Procrastinate's way to the database, on the ledger's connections. It waits while the database is away.

    A worker that could not say that a task is done would keep it for as long as it lives; so would one that never heard
    which task it was given.
    """

    def __init__(self, store: PostgresStore, kind: str, emit: Emit) -> None:
        super().__init__()
        self._store = store
        self._kind = kind
        self._emit = emit
        self._due = store.due(kind)
        self._in_hand: set[int] = set()
        self.patient = True

    async def take_connections(self) -> None:
        """Take the connections that the ledger has for its queue."""
        if self._store.queue_pool.closed:
            await self._store.queue_pool.open()
        await self.open_async(self._store.queue_pool)

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Run a statement that returns nothing."""
        try:
            await self._patiently(super().execute_query_async, query, arguments)
        except exceptions.UniqueViolation:
            if query != sql.queries["retry_job"]:
                raise
            # The next task is in its place already: this one is done.
            arguments = {"job_id": arguments["job_id"], "status": "succeeded", "delete_job": True}
            await self.execute_query_async(sql.queries["finish_job"], **arguments)
        except exceptions.ConnectorException as error:
            # It has been put back, or the answer to finishing it was lost: what became of it is in the ledger.
            if "was not found" not in str(error.__cause__):
                raise
        if query in {sql.queries["finish_job"], sql.queries["retry_job"]}:
            self._in_hand.discard(arguments["job_id"])
        # What a stopping worker puts back, others may have at once; and while an endpoint's task was being done, nobody
        # could have its next one.
        if query == sql.queries["retry_job"] or (query == sql.queries["finish_job"] and self._kind == "deliver"):
            self._store.wakeups.publish((self._kind,))

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """Run a statement that returns a row."""
        if query == sql.queries["fetch_job"]:
            return await self._fetch(query, arguments)
        row: dict[str, Any] = await self._patiently(super().execute_query_one_async, query, arguments)
        if query == sql.queries["defer_periodic_job"]:
            self._due.set()  # our own tick: it is told on a channel that nobody here listens to
        return row

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """Run a statement that returns rows."""
        return await self._patiently(super().execute_query_all_async, query, arguments)

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Pass on what the ledger hears: one connection listens for the whole process."""
        [channel, *_] = channels
        while True:
            await self._due.wait()
            self._due.clear()
            await on_notification(channel=channel, payload=_INSERTED)
            # A worker that looks just then, in vain, forgets that it was told: so it is told once more.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), ECHO_SECONDS)
                continue
            await on_notification(channel=channel, payload=_INSERTED)

    async def _fetch(self, query: LiteralString, arguments: dict[str, Any]) -> dict[str, Any]:
        worker = arguments["worker_id"]
        try:
            row: dict[str, Any] = await self._patiently(
                super().execute_query_one_async, query, arguments, again=lambda: put_back_unheard(worker, self._in_hand)
            )
        except exceptions.ConnectorException as error:
            if not isinstance(error.__cause__, ForeignKeyViolation):
                raise
            # Silent for so long, as while the database was away, that another took us for dead. To end now would cut
            # short what is running, and a submit that is cut short may be paid for and never heard of.
            with contextlib.suppress(Unavailable):
                await self._store.write(live_again(worker))
            return await self._fetch(query, arguments)
        if row["id"] is not None:
            self._in_hand.add(row["id"])
        return row

    async def _patiently(
        self,
        execute: Callable[..., Awaitable[T]],
        query: LiteralString,
        arguments: dict[str, Any],
        *,
        again: Callable[[], Transaction[None]] | None = None,
    ) -> T:
        """Execute as soon as the database is there. `again` makes what is written before each try but the first."""
        announced = False
        while True:
            try:
                if announced and again:
                    await self._store.write(again())
                async with asyncio.timeout(LONGEST_STATEMENT_SECONDS):
                    return await execute(query, **arguments)
            except (exceptions.ConnectorException, Unavailable, TimeoutError) as error:
                fault = fault_of(error.__cause__ if isinstance(error.__cause__, Exception) else error)
                if not isinstance(fault, Unavailable) or not self.patient:
                    raise
                if not announced:
                    self._emit("worker.fetch_failed", kind=self._kind, error=str(fault))
                    announced = True
            await asyncio.sleep(AGAIN_SECONDS)
