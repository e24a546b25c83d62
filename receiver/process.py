"""The processes: what each opens, in order, and closes in the opposite order. Only this module imports `submitter`."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial

import msgspec
from starlette.types import ASGIApp

from ledger.clock import wall_clock
from ledger.ledger import Ledger
from outbound.clients import Clients, Limits, open_clients
from providers.callback_tokens import CallbackTokens
from providers.provider import Account
from providers.registry import open_accounts, open_webhooks
from receiver.application import compose_application
from receiver.callbacks.sources import open_sources
from receiver.database import open_database
from receiver.notifier.notify_settings import put_notify_settings
from receiver.notifier.open_notifier import delivery_limits, open_notifier
from receiver.settings import Settings
from receiver.web.limits import freeze_startup_objects, raise_file_limit
from receiver.web.server import listen, serve_http
from receiver.web.startup_gate import StartupGate
from submitter.open_submitter import open_submitter
from telemetry.emit import Emit
from telemetry.telemetry import Telemetry
from work.open_workers import open_workers
from work.shutdown import Shutdown, ShutdownRequested
from work.worker_group import WorkerGroup

FLUSH_SECONDS = 0.1
"""How long a process that is ended by force leaves for its last log line."""


async def serve(settings: Settings, emit: Telemetry) -> None:
    """Serve until SIGTERM or SIGINT, with 503 until the database is open. Raises CannotListen, LedgerError."""
    raise_file_limit()
    listener = listen(settings)
    shutdown = Shutdown(settings.stop_seconds)
    shutdown.listen(partial(_end_process, emit))
    shutdown.on_request(lambda: emit("receiver.shutdown_requested"))
    gate = StartupGate()
    serving = asyncio.create_task(serve_http(gate, listener, settings, shutdown), name="serve HTTP")
    try:
        async with _open_receiver(settings, emit, shutdown) as app:
            gate.open(app)
            await serving
    except ShutdownRequested:
        pass  # before anything was claimed
    finally:
        shutdown.request()
        await serving
        listener.close()


async def work_alone(settings: Settings, emit: Telemetry) -> None:
    """Submit, poll and deliver until SIGTERM or SIGINT, without serving HTTP. Raises LedgerError."""
    raise_file_limit()
    shutdown = Shutdown(settings.stop_seconds)
    shutdown.listen(partial(_end_process, emit))
    shutdown.on_request(lambda: emit("worker.shutdown_requested"))
    try:
        async with _open_work(settings, emit, shutdown, workers=True) as work:
            freeze_startup_objects()
            emit("worker.started", providers=sorted(work.accounts))
            await shutdown.requested.wait()
    except ShutdownRequested:
        pass  # before anything was claimed


async def migrate(settings: Settings, emit: Telemetry) -> None:
    """Migrate the database to the newest schema, and close it. Raises LedgerError."""
    async with open_database(settings, emit=emit, shutdown=Shutdown(settings.stop_seconds)):
        pass


def _end_process(emit: Emit) -> None:
    """End the process, from a thread: it was asked to stop, and something of it hangs."""
    emit("process.exit_forced")
    time.sleep(FLUSH_SECONDS)
    os._exit(0)


@contextlib.asynccontextmanager
async def _open_receiver(settings: Settings, emit: Telemetry, shutdown: Shutdown) -> AsyncIterator[ASGIApp]:
    async with (
        _open_work(settings, emit, shutdown, workers=settings.workers) as work,
        open_sources(
            open_webhooks(settings.providers),
            work.clients.fetch_keys,
            prefetch=settings.public_url is not None,
            clock=wall_clock,
            emit=emit,
        ) as sources,
    ):
        freeze_startup_objects()
        emit("receiver.started", address=f"{settings.host}:{settings.port}", providers=sorted(work.accounts))
        yield compose_application(
            settings,
            work.ledger,
            sources=sources,
            tokens=work.tokens,
            providers=work.accounts.keys(),
            targets=work.clients.targets,
            registry=emit.registry,
            stopped_workers=work.workers.stopped,
            emit=emit,
        )


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that works has open. Its workers run."""

    ledger: Ledger
    clients: Clients
    tokens: CallbackTokens
    accounts: Mapping[str, Account]
    workers: WorkerGroup


@contextlib.asynccontextmanager
async def _open_work(settings: Settings, emit: Emit, shutdown: Shutdown, *, workers: bool) -> AsyncIterator[_Work]:
    requests = Limits(
        concurrency=settings.provider_concurrency,
        seconds=settings.provider_timeout_seconds,
        max_bytes=settings.max_body_bytes,
    )
    targets = settings.allow_private_targets
    tokens = CallbackTokens(settings.secret_key or [secrets.token_urlsafe(32)])
    accounts = open_accounts(settings.providers, public_url=settings.public_url, tokens=tokens)
    async with (
        open_database(settings, emit=emit, shutdown=shutdown) as ledger,
        open_clients(requests, delivery_limits(settings), allow_private_targets=targets) as clients,
    ):
        await put_notify_settings(settings, ledger, emit=emit)
        submitter = open_submitter(
            ledger,
            accounts,
            clients,
            emit=emit,
            resubmit=settings.resubmit_unconfirmed,
            concurrency=settings.provider_concurrency,
            request_seconds=settings.provider_timeout_seconds,
            give_up_seconds=settings.submit_timeout_seconds,
        )
        notifier = open_notifier(settings, ledger, clients, emit=emit, shutdown_requested=shutdown.requested)
        kinds = [*submitter, notifier] if workers else []
        async with open_workers(ledger.queue, kinds, emit=emit, shutdown=shutdown) as group:
            yield _Work(ledger=ledger, clients=clients, tokens=tokens, accounts=accounts, workers=group)
