"""The process: everything composed, started in order, and stopped in order. The one module that knows the submitter."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from ledger import deliveries, work
from ledger.clock import wall_clock
from ledger.errors import Unavailable
from ledger.facts import Announce
from ledger.opening import open_ledger
from ledger.records import ProviderName
from ledger.sqlite import SQLiteStore
from ledger.store import Store
from ledger.tokens import CallbackTokens
from ledger.work import Kind
from receiver.app import create_app
from receiver.callbacks import FalCallbacks
from receiver.crew import Crew
from receiver.crew import Worker as AnyWorker
from receiver.deliveries import DeliveriesApi
from receiver.doorway import Doorway
from receiver.facts import Facts
from receiver.health import Health
from receiver.job_requests import JobRequests
from receiver.jobs import JobsApi
from receiver.keys import KeyRing
from receiver.listening import listen, serve_http
from receiver.notifier import FIRST_WINDOW, WIDEST_WINDOW, Notifier
from receiver.postman import KEPT_BYTES, Postman
from receiver.resources import raise_file_limit, settle_memory
from receiver.settings import Settings
from receiver.stopping import Stop, Stopped, unless_stopped
from receiver.targets import GuardedResolver, Targets
from submitter.accounts import Account, FalAccount, HeygenAccount
from submitter.check import Checker
from submitter.exchange import Exchange, open_transport
from submitter.submit import Submitter
from submitter.workers import Handler, Worker

OPEN_SECONDS = 20.0
"""How long to wait, at the start, for a database that is not there: it may be starting too."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; 503 until the ledger is open. Raises CannotListen, LedgerError if it cannot be."""
    raise_file_limit()
    listener = listen(settings)
    stop = Stop(settings.stop_seconds)
    stop.listen()
    doorway = Doorway()
    serving = asyncio.create_task(serve_http(doorway, listener, settings, stop), name="serve HTTP")
    try:
        async with _serving(settings, stop) as app:
            doorway.open(app)
            await serving
    except Stopped:
        pass  # before anything was begun
    finally:
        stop.ask()
        await serving
        listener.close()


async def work_alone(settings: Settings) -> None:
    """Submit, check and notify until SIGTERM or SIGINT, and serve nothing. Raises LedgerError before it begins."""
    raise_file_limit()
    stop = Stop(settings.stop_seconds)
    stop.listen()
    announce = Facts(CollectorRegistry())
    try:
        async with contextlib.AsyncExitStack() as stack:
            store = await _open(settings, stack, announce, stop)
            accounts = _accounts(settings, _tokens(settings))
            clients = await _open_clients(settings, stack)
            workers = _workers(settings, store, accounts, clients, announce=announce, stop=stop)
            await stack.enter_async_context(Crew(workers, announce, stop))
            settle_memory()
            announce("worker.started", providers=sorted(accounts))
            await stop.asked.wait()
            announce("worker.stopping")
    except Stopped:
        pass  # before anything was begun


async def migrate(settings: Settings) -> None:
    """Bring the schema up to date, and nothing else. Raises LedgerError."""
    async with contextlib.AsyncExitStack() as stack:
        await _open_store(settings, stack, Facts(CollectorRegistry()), Stop(settings.stop_seconds))


@contextlib.asynccontextmanager
async def _serving(settings: Settings, stop: Stop) -> AsyncIterator[ASGIApp]:
    """Open the ledger, start the workers, yield the application; then stop in the other order."""
    registry = CollectorRegistry()
    announce = Facts(registry)
    async with contextlib.AsyncExitStack() as stack:
        store = await _open(settings, stack, announce, stop)
        clients = await _open_clients(settings, stack)
        tokens = _tokens(settings)
        accounts = _accounts(settings, tokens)
        keys = KeyRing(clients.ask_keys, settings.fal_jwks_url, clock=wall_clock, announce=announce)
        stack.push_async_callback(keys.close)
        workers = _workers(settings, store, accounts, clients, announce=announce, stop=stop) if settings.workers else []
        crew = await stack.enter_async_context(Crew(workers, announce, stop))
        if settings.public_url:
            prefetching = asyncio.create_task(keys.prefetch(), name="prefetch fal's keys")
            stack.callback(prefetching.cancel)
        requests = JobRequests(
            providers=accounts.keys(),
            targets=clients.targets,
            signing=bool(settings.notify_secret),
            notify_url=settings.notify_url,
        )
        settle_memory()
        announce("receiver.started", address=f"{settings.host}:{settings.port}", providers=sorted(accounts))
        yield create_app(
            callbacks=FalCallbacks(
                store,
                keys,
                tokens,
                clock=wall_clock,
                announce=announce,
                account=settings.fal_webhook_user_id,
                tolerance_seconds=settings.fal_webhook_tolerance_seconds,
                max_body_bytes=settings.max_body_bytes,
            ),
            jobs=JobsApi(store, requests, clock=wall_clock, announce=announce, max_body_bytes=settings.max_body_bytes),
            deliveries=DeliveriesApi(store, clock=wall_clock, announce=announce),
            health=Health(store, registry, stopped_workers=crew.stopped),
            api_keys=settings.api_key,
            announce=announce,
        )
        announce("receiver.stopping")


async def _open(settings: Settings, stack: contextlib.AsyncExitStack, announce: Announce, stop: Stop) -> Store:
    """Open the ledger, and tell it what the settings say."""
    store = await _open_store(settings, stack, announce, stop)
    if isinstance(store, SQLiteStore):
        await store.write(work.end_leases(now=wall_clock()))  # the lock is ours: whoever held a lease is gone
    await store.write(deliveries.put_settings_endpoint(settings.notify_url, now=wall_clock()))
    return store


async def _open_store(settings: Settings, stack: contextlib.AsyncExitStack, announce: Announce, stop: Stop) -> Store:
    """Open the ledger, and wait for it a while when it is not there. Raises LedgerError, Stopped."""
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
            store = await unless_stopped(opening, stop)
        except Unavailable as error:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
            announce("ledger.unavailable", error=str(error))
            await unless_stopped(asyncio.sleep(1), stop)
        else:
            stack.push_async_callback(store.close)
            return store


def _tokens(settings: Settings) -> CallbackTokens:
    return CallbackTokens(settings.secret_key or [secrets.token_urlsafe(32)])


class _Clients(msgspec.Struct, frozen=True, kw_only=True):
    submit: Exchange
    ask_provider: Exchange
    ask_keys: Exchange
    tell: Exchange
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
        tell=Exchange(outside, seconds=settings.notify_timeout_seconds, max_bytes=KEPT_BYTES, cut=True),
        targets=targets,
    )


def _exchange(transport: httpx.AsyncBaseTransport, seconds: float, max_bytes: int) -> Exchange:
    return Exchange(transport, seconds=seconds, max_bytes=max_bytes)


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
    announce: Announce,
    stop: Stop,
) -> Sequence[AnyWorker]:
    # Twice the longest exchange, and some: nobody else may take a task while its request can still be answered.
    asking_lease = _ms(2 * settings.provider_timeout_seconds + 10)
    telling_shift = _ms(settings.notify_timeout_seconds + 5)
    telling_lease = telling_shift + _ms(settings.notify_timeout_seconds + 10)
    submitter = Submitter(
        store,
        accounts,
        clients.submit,
        clock=wall_clock,
        announce=announce,
        resubmit=settings.resubmit_unconfirmed,
        lease_ms=asking_lease,
        give_up_after=_ms(settings.submit_timeout_seconds),
    )
    checker = Checker(store, accounts, clients.ask_provider, clock=wall_clock, announce=announce)
    postman = Postman(
        store,
        clients.tell,
        clients.targets,
        clock=wall_clock,
        announce=announce,
        secrets=settings.notify_secret,
        at_once=_most_attempts(settings),
    )
    asking, telling = settings.provider_concurrency, settings.notify_concurrency
    notifier = Notifier(store, postman, clock=wall_clock, shift_ms=telling_shift, stop=stop.asked, at_once=telling)
    # Each kind has its own share of the client: many jobs to watch must not keep a new one waiting.
    kinds: tuple[tuple[Kind, Handler, int, int], ...] = (
        ("submit", submitter.handle, asking, asking_lease),
        ("check", checker.handle, asking, asking_lease),
        ("deliver", notifier.handle, telling, telling_lease),
    )
    if isinstance(store, SQLiteStore):
        return [
            Worker(store, kind, handle, clock=wall_clock, announce=announce, concurrency=concurrency, lease_ms=lease)
            for kind, handle, concurrency, lease in kinds
        ]
    from submitter.queue_workers import queue_workers  # noqa: PLC0415 - an extra, which SQLite does without

    return queue_workers(store, kinds, clock=wall_clock, announce=announce, stop_seconds=settings.stop_seconds)


def _most_attempts(settings: Settings) -> int:
    """Room for every endpoint's first requests, and for some that are told many things at once."""
    return FIRST_WINDOW * settings.notify_concurrency + 4 * WIDEST_WINDOW


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
