"""The processes: what each opens, in order, and closes in the opposite order. Only this module imports `submitter`."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from typing import get_args

import msgspec
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from ledger.ledger import Ledger
from ledger.requests import Kind
from ledger.urls import on_postgres
from outbound.clients import Clients, Limits, open_clients
from providers.callback_tokens import CallbackTokens
from providers.provider import Account
from providers.registry import open_accounts, open_webhooks
from receiver.application import compose_application
from receiver.callbacks.sources import open_sources
from receiver.database import open_database
from receiver.http.server import listen, serve_http
from receiver.notifier.notify_settings import put_notify_settings
from receiver.notifier.open_notifier import delivery_limits, open_notifier
from receiver.reachability import flag_unreachable
from receiver.setting_warnings import setting_warnings
from receiver.settings import Settings, redactor_of
from receiver.web.limits import freeze_startup_objects, raise_file_limit
from receiver.web.startup_gate import StartupGate
from settings.redaction import Redactor
from submitter.open_submitter import open_submitter
from telemetry.emit import Emit
from telemetry.redacted_emit import redacted
from telemetry.telemetry import Telemetry
from telemetry.version import VERSION
from work.open_workers import open_workers
from work.shutdown import Shutdown, ShutdownRequested
from work.worker_group import WorkerGroup


async def serve(settings: Settings, variables: Collection[str]) -> None:
    """Serve until SIGTERM or SIGINT, with 503 until the database is open.

    `variables` are the names in the environment. Raises CannotListen, InvalidProvider, LedgerError.
    """
    raise_file_limit()
    listener = listen(settings)
    shutdown = Shutdown(settings.stop_seconds)
    shutdown.listen()
    gate = StartupGate()
    serving = asyncio.create_task(serve_http(gate, listener, settings, shutdown), name="serve HTTP")
    try:
        async with _open_receiver(settings, variables, shutdown) as app:
            gate.open(app)
            await serving
    except ShutdownRequested:
        pass  # before anything was claimed
    finally:
        shutdown.request()
        await serving
        listener.close()


async def work_alone(settings: Settings, variables: Collection[str]) -> None:
    """Submit, poll and deliver until SIGTERM or SIGINT, without serving HTTP.

    On SQLite it only waits: the process that serves does the work. `variables` are the names in the environment. Raises
    InvalidProvider, LedgerError.
    """
    raise_file_limit()
    shutdown = Shutdown(settings.stop_seconds)
    shutdown.listen()
    redact = redactor_of(settings)
    emit = redacted(Telemetry(CollectorRegistry()), redact)
    if not on_postgres(settings.database_url):
        emit("worker.idled", reason="DATABASE_URL is an SQLite file: the process that serves does the work")
        await shutdown.requested.wait()
        return
    try:
        async with _open_work(settings, emit, redact, shutdown, workers=True) as work:
            freeze_startup_objects()
            _emit_warnings(settings, variables, work, emit)
            emit("worker.started", version=VERSION, providers=sorted(work.accounts))
            shutdown.on_request(lambda: emit("worker.shutdown_requested"))
            await shutdown.requested.wait()
    except ShutdownRequested:
        pass  # before anything was claimed


async def migrate(settings: Settings) -> None:
    """Migrate the database to the newest schema, and close it. Raises LedgerError."""
    redact = redactor_of(settings)
    emit = redacted(Telemetry(CollectorRegistry()), redact)
    async with open_database(settings, emit=emit, redact=redact, shutdown=Shutdown(settings.stop_seconds)):
        pass


async def mark_restored(settings: Settings) -> int:
    """Make each job that a restored database would submit `unconfirmed`; return how many. Raises LedgerError."""
    redact, shutdown = redactor_of(settings), Shutdown(settings.stop_seconds)
    emit = redacted(Telemetry(CollectorRegistry()), redact)
    async with open_database(settings, emit=emit, redact=redact, shutdown=shutdown, alone=True) as ledger:
        return await ledger.mark_restored()


@contextlib.asynccontextmanager
async def _open_receiver(settings: Settings, variables: Collection[str], shutdown: Shutdown) -> AsyncIterator[ASGIApp]:
    registry = CollectorRegistry()
    redact = redactor_of(settings)
    labels = {"provider": settings.providers.keys(), "kind": get_args(Kind)}
    emit = redacted(Telemetry(registry, labels=labels), redact)
    webhooks = open_webhooks(settings.providers)
    async with (
        contextlib.AsyncExitStack() as stack,
        _open_work(settings, emit, redact, shutdown, workers=settings.workers) as work,
        open_sources(
            webhooks,
            work.clients.fetch_keys,
            prefetch=settings.public_url is not None,
            emit=emit,
        ) as sources,
    ):
        freeze_startup_objects()
        shutdown.on_request(lambda: emit("receiver.shutdown_requested"))
        _emit_warnings(settings, variables, work, emit)
        address = f"{settings.host}:{settings.port}"
        emit("receiver.started", version=VERSION, address=address, providers=sorted(work.accounts))
        asking = asyncio.create_task(flag_unreachable(settings, work.clients, emit=emit), name="ask PUBLIC_URL")
        stack.callback(asking.cancel)
        yield compose_application(
            settings,
            work.ledger,
            sources=sources,
            tokens=work.tokens,
            providers=work.accounts.keys(),
            targets=work.clients.targets,
            registry=registry,
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


def _emit_warnings(settings: Settings, variables: Collection[str], work: _Work, emit: Emit) -> None:
    for name, message in setting_warnings(settings, variables, work.accounts):
        emit("setting.flagged", setting=name, message=message)


@contextlib.asynccontextmanager
async def _open_work(
    settings: Settings, emit: Emit, redact: Redactor, shutdown: Shutdown, *, workers: bool
) -> AsyncIterator[_Work]:
    requests = Limits(
        concurrency=settings.provider_concurrency,
        seconds=settings.provider_timeout_seconds,
        max_bytes=settings.max_body_bytes,
    )
    targets = settings.allow_private_targets
    tokens = CallbackTokens(settings.secret_key or [secrets.token_urlsafe(32)])
    accounts = open_accounts(settings.providers, public_url=settings.public_url, tokens=tokens)
    async with (
        open_database(settings, emit=emit, redact=redact, shutdown=shutdown) as ledger,
        open_clients(
            requests,
            delivery_limits(settings),
            longest_result=settings.max_result_bytes,
            allow_private_targets=targets,
        ) as clients,
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
