"""The process: everything composed, started in order, and stopped in order. The one module that knows the submitter."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from ledger.clock import wall_clock
from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.open import open_ledger
from ledger.requests import Kind
from ledger.sqlite.store import SQLiteStore
from ledger.transitions import queue as work
from outbound.client import Client, open_transport
from outbound.targets import GuardedResolver, Targets
from providers.callback_tokens import CallbackTokens
from providers.provider import Account
from providers.registry import open_accounts, open_webhooks
from receiver.api.deliveries import DeliveriesApi
from receiver.api.health import Health
from receiver.api.job_requests import JobRequests
from receiver.api.jobs import JobsApi
from receiver.callbacks.application import Callbacks
from receiver.callbacks.sources import open_sources
from receiver.notifier.attempts import KEPT_BYTES, AttemptSender
from receiver.notifier.notifier import FIRST_WINDOW, WIDEST_WINDOW, Notifier
from receiver.settings import Settings
from receiver.web.app import create_app
from receiver.web.limits import freeze_startup_objects, raise_file_limit
from receiver.web.server import listen, serve_http
from receiver.web.startup_gate import StartupGate
from submitter.poll import Poller
from submitter.submit import Submitter
from telemetry.emit import Emit
from telemetry.telemetry import Telemetry
from work.shutdown import Shutdown, ShutdownRequested, unless_shutdown
from work.worker import Handler, Worker
from work.worker_group import Worker as AnyWorker
from work.worker_group import WorkerGroup

OPEN_SECONDS = 20.0
"""How long to wait, at the start, for a database that is not there: it may be starting too."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; 503 until the ledger is open. Raises CannotListen, LedgerError if it cannot be."""
    raise_file_limit()
    listener = listen(settings)
    stop = Shutdown(settings.stop_seconds)
    stop.listen()
    gate = StartupGate()
    serving = asyncio.create_task(serve_http(gate, listener, settings, stop), name="serve HTTP")
    try:
        async with _serving(settings, stop) as app:
            gate.open(app)
            await serving
    except ShutdownRequested:
        pass  # before anything was claimed
    finally:
        stop.ask()
        await serving
        listener.close()


async def work_alone(settings: Settings) -> None:
    """Submit, check and notify until SIGTERM or SIGINT, and serve nothing. Raises LedgerError before it begins."""
    raise_file_limit()
    stop = Shutdown(settings.stop_seconds)
    stop.listen()
    emit = Telemetry(CollectorRegistry())
    try:
        async with contextlib.AsyncExitStack() as stack:
            ledger = await _open(settings, stack, emit, stop)
            accounts = _accounts(settings, _tokens(settings))
            clients = await _open_clients(settings, stack)
            workers = _workers(settings, ledger, accounts, clients, emit=emit, stop=stop)
            await stack.enter_async_context(WorkerGroup(workers, emit, stop))
            freeze_startup_objects()
            emit("worker.started", providers=sorted(accounts))
            await stop.asked.wait()
            emit("worker.shutdown_requested")
    except ShutdownRequested:
        pass  # before anything was claimed


async def migrate(settings: Settings) -> None:
    """Bring the schema up to date, and nothing else. Raises LedgerError."""
    async with contextlib.AsyncExitStack() as stack:
        await _open_store(settings, stack, Telemetry(CollectorRegistry()), Shutdown(settings.stop_seconds))


@contextlib.asynccontextmanager
async def _serving(settings: Settings, stop: Shutdown) -> AsyncIterator[ASGIApp]:
    """Open the ledger, start the workers, yield the application; then stop in the other order."""
    registry = CollectorRegistry()
    emit = Telemetry(registry)
    async with contextlib.AsyncExitStack() as stack:
        ledger = await _open(settings, stack, emit, stop)
        clients = await _open_clients(settings, stack)
        tokens = _tokens(settings)
        accounts = _accounts(settings, tokens)
        webhooks = open_webhooks(settings.providers)
        prefetch = settings.public_url is not None
        sources = await stack.enter_async_context(
            open_sources(webhooks, clients.ask_keys, prefetch=prefetch, clock=wall_clock, emit=emit)
        )
        workers = _workers(settings, ledger, accounts, clients, emit=emit, stop=stop) if settings.workers else []
        worker_group = await stack.enter_async_context(WorkerGroup(workers, emit, stop))
        requests = JobRequests(
            providers=accounts.keys(),
            targets=clients.targets,
            signing=bool(settings.notify_secret),
            notify_url=settings.notify_url,
        )
        freeze_startup_objects()
        emit("receiver.started", address=f"{settings.host}:{settings.port}", providers=sorted(accounts))
        yield create_app(
            callbacks=Callbacks(
                ledger, sources, tokens, clock=wall_clock, emit=emit, max_body_bytes=settings.max_body_bytes
            ),
            jobs=JobsApi(ledger, requests, emit=emit, max_body_bytes=settings.max_body_bytes),
            deliveries=DeliveriesApi(ledger, emit=emit),
            health=Health(ledger, registry, stopped_workers=worker_group.stopped),
            api_keys=settings.api_key,
            emit=emit,
        )
        emit("receiver.shutdown_requested")


async def _open(settings: Settings, stack: contextlib.AsyncExitStack, emit: Emit, stop: Shutdown) -> Ledger:
    """Open the ledger, and tell it what the settings say."""
    ledger = await _open_store(settings, stack, emit, stop)
    if isinstance(ledger.store, SQLiteStore):
        await ledger.store.write(work.end_leases(now=wall_clock()))  # the lock is ours: whoever held a lease is gone
    await ledger.put_settings_endpoint(settings.notify_url)
    return ledger


async def _open_store(settings: Settings, stack: contextlib.AsyncExitStack, emit: Emit, stop: Shutdown) -> Ledger:
    """Open the ledger, and wait for it a while when it is not there. Raises LedgerError, ShutdownRequested."""
    give_up_at = asyncio.get_running_loop().time() + OPEN_SECONDS
    while True:
        opening = open_ledger(
            settings.database_url,
            waiting_limit=settings.max_waiting_writes,
            connections=settings.database_connections,
            seconds=settings.database_timeout_seconds,
        )
        try:
            ledger = await unless_shutdown(opening, stop)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
            emit("database.call_failed", error=str(error))
            await unless_shutdown(asyncio.sleep(1), stop)
        else:
            stack.push_async_callback(ledger.close)
            return ledger


def _tokens(settings: Settings) -> CallbackTokens:
    return CallbackTokens(settings.secret_key or [secrets.token_urlsafe(32)])


class _Clients(msgspec.Struct, frozen=True, kw_only=True):
    submit: Client
    ask_provider: Client
    ask_keys: Client
    tell: Client
    targets: Targets


async def _open_clients(settings: Settings, stack: contextlib.AsyncExitStack) -> _Clients:
    targets = Targets(settings.allow_private_targets)
    outside = open_transport(
        connections=_most_attempts(settings),
        socket_factory=targets.socket_factory,
        resolver=GuardedResolver(targets),
    )
    providers = open_transport(connections=settings.provider_concurrency + 1)
    submitting = open_transport(connections=settings.provider_concurrency, keep_alive=False)
    for client in (outside, providers, submitting):
        stack.push_async_callback(client.aclose)
    return _Clients(
        submit=_exchange(submitting, settings.provider_timeout_seconds, settings.max_body_bytes),
        ask_provider=_exchange(providers, settings.provider_timeout_seconds, settings.max_body_bytes),
        ask_keys=_exchange(providers, 5.0, 1 << 20),
        tell=Client(outside, seconds=settings.notify_timeout_seconds, max_bytes=KEPT_BYTES, cut=True),
        targets=targets,
    )


def _exchange(transport: httpx.AsyncBaseTransport, seconds: float, max_bytes: int) -> Client:
    return Client(transport, seconds=seconds, max_bytes=max_bytes)


def _accounts(settings: Settings, tokens: CallbackTokens) -> dict[str, Account]:
    return open_accounts(settings.providers, public_url=settings.public_url, tokens=tokens)


def _workers(
    settings: Settings,
    ledger: Ledger,
    accounts: dict[str, Account],
    clients: _Clients,
    *,
    emit: Emit,
    stop: Shutdown,
) -> Sequence[AnyWorker]:
    # Twice the longest exchange, and some: nobody else may take a task while its request can still be answered.
    asking_lease = _ms(2 * settings.provider_timeout_seconds + 10)
    telling_shift = _ms(settings.notify_timeout_seconds + 5)
    telling_lease = telling_shift + _ms(settings.notify_timeout_seconds + 10)
    submitter = Submitter(
        ledger,
        accounts,
        clients.submit,
        clock=wall_clock,
        emit=emit,
        resubmit=settings.resubmit_unconfirmed,
        lease_ms=asking_lease,
        give_up_after=_ms(settings.submit_timeout_seconds),
    )
    poller = Poller(ledger, accounts, clients.ask_provider, clock=wall_clock, emit=emit)
    sender = AttemptSender(
        ledger,
        clients.tell,
        clients.targets,
        clock=wall_clock,
        emit=emit,
        secrets=settings.notify_secret,
        at_once=_most_attempts(settings),
    )
    asking, telling = settings.provider_concurrency, settings.notify_concurrency
    notifier = Notifier(ledger, sender, clock=wall_clock, shift_ms=telling_shift, stop=stop.asked, at_once=telling)
    # Each kind has its own share of the client: many jobs to watch must not keep a new one waiting.
    kinds: tuple[tuple[Kind, Handler, int, int], ...] = (
        ("submit", submitter.handle, asking, asking_lease),
        ("poll", poller.handle, asking, asking_lease),
        ("deliver", notifier.handle, telling, telling_lease),
    )
    if isinstance(ledger.store, SQLiteStore):
        return [
            Worker(ledger.queue, kind, handle, clock=wall_clock, emit=emit, concurrency=concurrency, lease_ms=lease)
            for kind, handle, concurrency, lease in kinds
        ]
    from work.queue_workers import queue_workers  # noqa: PLC0415 - an extra, which SQLite does without

    return queue_workers(ledger.store, kinds, clock=wall_clock, emit=emit, stop_seconds=settings.stop_seconds)


def _most_attempts(settings: Settings) -> int:
    """Room for every endpoint's first requests, and for some that are told many things at once."""
    return FIRST_WINDOW * settings.notify_concurrency + 4 * WIDEST_WINDOW


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
