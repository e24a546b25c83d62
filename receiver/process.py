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
from ledger.open import open_ledger
from ledger.records import ProviderName
from ledger.storage.store import Store
from ledger.transitions import deliveries
from ledger.transitions.queue import Kind
from outbound.client import Client, open_transport
from outbound.targets import GuardedResolver, Targets
from providers.callback_tokens import CallbackTokens
from receiver.api.deliveries import DeliveriesApi
from receiver.api.health import Health
from receiver.api.job_requests import JobRequests
from receiver.api.jobs import JobsApi
from receiver.callbacks.application import FalCallbacks
from receiver.callbacks.keys import KeyRing
from receiver.notifier.attempts import KEPT_BYTES, AttemptSender
from receiver.notifier.notifier import FIRST_WINDOW, WIDEST_WINDOW, Notifier
from receiver.settings import Settings
from receiver.web.app import create_app
from receiver.web.limits import freeze_startup_objects, raise_file_limit
from receiver.web.server import listen, serve_http
from receiver.web.startup_gate import StartupGate
from submitter.accounts import Account, FalAccount, HeygenAccount
from submitter.poll import Poller
from submitter.submit import Submitter
from submitter.sweeper import Sweeper
from telemetry.emit import Emit
from telemetry.events import Telemetry
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
            store = await _open(settings, stack, emit, stop)
            accounts = _accounts(settings, _tokens(settings))
            clients = await _open_clients(settings, stack)
            workers = _workers(settings, store, accounts, clients, emit=emit, stop=stop)
            await stack.enter_async_context(WorkerGroup(workers, emit, stop))
            freeze_startup_objects()
            emit("worker.started", providers=sorted(accounts))
            await stop.asked.wait()
            emit("worker.shutdown_started")
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
        store = await _open(settings, stack, emit, stop)
        clients = await _open_clients(settings, stack)
        tokens = _tokens(settings)
        accounts = _accounts(settings, tokens)
        keys = KeyRing(clients.ask_keys, settings.fal_jwks_url, clock=wall_clock, emit=emit)
        stack.push_async_callback(keys.close)
        workers = _workers(settings, store, accounts, clients, emit=emit, stop=stop) if settings.workers else []
        worker_group = await stack.enter_async_context(WorkerGroup(workers, emit, stop))
        if settings.public_url:
            prefetching = asyncio.create_task(keys.prefetch(), name="prefetch fal's keys")
            stack.callback(prefetching.cancel)
        requests = JobRequests(
            providers=accounts.keys(),
            targets=clients.targets,
            signing=bool(settings.notify_secret),
            notify_url=settings.notify_url,
        )
        freeze_startup_objects()
        emit("receiver.started", address=f"{settings.host}:{settings.port}", providers=sorted(accounts))
        yield create_app(
            callbacks=FalCallbacks(
                store,
                keys,
                tokens,
                clock=wall_clock,
                emit=emit,
                account=settings.fal_webhook_user_id,
                tolerance_seconds=settings.fal_webhook_tolerance_seconds,
                max_body_bytes=settings.max_body_bytes,
            ),
            jobs=JobsApi(store, requests, clock=wall_clock, emit=emit, max_body_bytes=settings.max_body_bytes),
            deliveries=DeliveriesApi(store, clock=wall_clock, emit=emit),
            health=Health(store, registry, stopped_workers=worker_group.stopped),
            api_keys=settings.api_key,
            emit=emit,
        )
        emit("work.shutdown")


async def _open(settings: Settings, stack: contextlib.AsyncExitStack, emit: Emit, stop: Shutdown) -> Store:
    """Open the ledger, and tell it what the settings say."""
    store = await _open_store(settings, stack, emit, stop)
    await store.write(deliveries.put_settings_endpoint(settings.notify_url, now=wall_clock()))
    return store


async def _open_store(settings: Settings, stack: contextlib.AsyncExitStack, emit: Emit, stop: Shutdown) -> Store:
    """Open the ledger, and wait for it a while when it is not there. Raises LedgerError, ShutdownRequested."""
    give_up_at = asyncio.get_running_loop().time() + OPEN_SECONDS
    while True:
        opening = open_ledger(
            settings.database_url,
            now=wall_clock(),
            waiting_limit=settings.max_waiting_writes,
            connections=settings.database_connections,
            seconds=settings.database_timeout_seconds,
        )
        try:
            store = await unless_shutdown(opening, stop)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
            emit("database.unavailable", error=str(error))
            await unless_shutdown(asyncio.sleep(1), stop)
        else:
            stack.push_async_callback(store.close)
            return store


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


def _accounts(settings: Settings, tokens: CallbackTokens) -> dict[ProviderName, Account]:
    accounts: dict[ProviderName, Account] = {}
    if settings.fal_key:
        accounts["fal"] = FalAccount(
            queue_url=settings.fal_queue_url,
            key=settings.fal_key,
            tokens=tokens,
            public_url=settings.public_url,
            poll_every=_ms(settings.fal_poll_seconds),
            reconcile_every=_ms(settings.fal_reconcile_seconds),
            give_up_after=_ms(settings.fal_timeout_seconds),
        )
    if settings.heygen_api_key:
        accounts["heygen"] = HeygenAccount(
            api_url=settings.heygen_api_url,
            path=settings.heygen_api_path,
            key=settings.heygen_api_key,
            poll_every=_ms(settings.heygen_poll_seconds),
            give_up_after=_ms(settings.heygen_timeout_seconds),
        )
    return accounts


def _workers(
    settings: Settings,
    store: Store,
    accounts: dict[ProviderName, Account],
    clients: _Clients,
    *,
    emit: Emit,
    stop: Shutdown,
) -> Sequence[AnyWorker]:
    # Twice the longest exchange, and some: nobody else may claim a job while its request can still be answered.
    longest_asking = _ms(2 * settings.provider_timeout_seconds + 10)
    telling_shift = _ms(settings.notify_timeout_seconds + 5)
    longest_telling = telling_shift + _ms(settings.notify_timeout_seconds + 10)
    submitter = Submitter(
        store,
        accounts,
        clients.submit,
        clock=wall_clock,
        emit=emit,
        resubmit=settings.resubmit_unconfirmed,
        lease_ms=longest_asking,
        give_up_after=_ms(settings.submit_timeout_seconds),
    )
    poller = Poller(store, accounts, clients.ask_provider, clock=wall_clock, emit=emit)
    sender = AttemptSender(
        store,
        clients.tell,
        clients.targets,
        clock=wall_clock,
        emit=emit,
        secrets=settings.notify_secret,
        at_once=_most_attempts(settings),
    )
    asking, telling = settings.provider_concurrency, settings.notify_concurrency
    notifier = Notifier(store, sender, clock=wall_clock, shift_ms=telling_shift, stop=stop.asked, at_once=telling)
    # Each kind has its own share of the client: many jobs to watch must not keep a new one waiting.
    kinds: tuple[tuple[Kind, Handler, int, int], ...] = (
        ("submit", submitter.handle, asking, longest_asking),
        ("poll", poller.handle, asking, longest_asking),
        ("deliver", notifier.handle, telling, longest_telling),
    )
    workers = [
        Worker(store, kind, handle, clock=wall_clock, emit=emit, concurrency=concurrency, longest_ms=longest)
        for kind, handle, concurrency, longest in kinds
    ]
    return [*workers, Sweeper(store, clock=wall_clock, emit=emit)]


def _most_attempts(settings: Settings) -> int:
    """Room for every endpoint's first requests, and for some that are told many things at once."""
    return FIRST_WINDOW * settings.notify_concurrency + 4 * WIDEST_WINDOW


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
