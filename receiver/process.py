"""The process: everything composed, started in order, and stopped in order. The one module that knows the submitter."""

import asyncio
import contextlib
import gc
import resource
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from ledger import deliveries, work
from ledger.clock import wall_clock
from ledger.records import ProviderName
from ledger.sqlite import SQLiteStore, open_sqlite
from ledger.tokens import CallbackTokens
from ledger.work import Kind
from receiver.app import create_app
from receiver.callbacks import FalCallbacks
from receiver.deliveries import DeliveriesApi
from receiver.facts import Facts
from receiver.health import Health
from receiver.job_requests import JobRequests
from receiver.jobs import JobsApi
from receiver.keys import KeyRing
from receiver.listening import listen, serve_http
from receiver.notifier import FIRST_WINDOW, WIDEST_WINDOW, Notifier
from receiver.postman import KEPT_BYTES, Postman
from receiver.settings import Settings
from receiver.stopping import Stop
from receiver.targets import GuardedResolver, Targets
from submitter.accounts import Account, FalAccount, HeygenAccount
from submitter.check import Checker
from submitter.exchange import Exchange, open_transport
from submitter.submit import Submitter
from submitter.workers import Handler, Worker


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises CannotListen and CannotOpen before anything is served."""
    _raise_file_limit()
    listener = listen(settings)
    stop = Stop(settings.stop_seconds)
    stop.listen()
    try:
        async with _running(settings, stop) as app:
            await serve_http(app, listener, settings, stop)
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def _running(settings: Settings, stop: Stop) -> AsyncIterator[ASGIApp]:
    """Open the ledger, start the workers, yield the application; then stop in the other order."""
    registry = CollectorRegistry()
    announce = Facts(registry)
    store = await open_ledger(settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        await store.write(work.end_leases(now=wall_clock()))  # the lock is ours: whoever held a lease is gone
        await store.write(deliveries.put_settings_endpoint(settings.notify_url, now=wall_clock()))
        clients = await _open_clients(settings, stack)
        targets = clients.targets
        tokens = CallbackTokens(settings.secret_key or [secrets.token_urlsafe(32)])
        accounts = _accounts(settings, tokens)
        keys = KeyRing(clients.ask_keys, settings.fal_jwks_url, clock=wall_clock, announce=announce)
        stack.push_async_callback(keys.close)
        workers = _workers(settings, store, accounts, clients, announce=announce, stop=stop)
        crew = _Crew(workers, announce, stop)
        await stack.enter_async_context(crew)
        if settings.public_url:
            prefetching = asyncio.create_task(keys.prefetch(), name="prefetch fal's keys")
            stack.callback(prefetching.cancel)
        requests = JobRequests(
            providers=accounts.keys(),
            targets=targets,
            signing=bool(settings.notify_secret),
            notify_url=settings.notify_url,
        )
        _settle_memory()
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


async def open_ledger(settings: Settings) -> SQLiteStore:
    """Open the ledger that DATABASE_URL names. Raises CannotOpen."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    return await open_sqlite(path, now=wall_clock(), waiting_limit=settings.max_waiting_writes)


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
    store: SQLiteStore,
    accounts: dict[ProviderName, Account],
    clients: _Clients,
    *,
    announce: Facts,
    stop: Stop,
) -> list[Worker]:
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
    return [
        Worker(store, kind, handle, clock=wall_clock, announce=announce, concurrency=concurrency, lease_ms=lease)
        for kind, handle, concurrency, lease in kinds
    ]


class _Crew:
    """The workers, running. One that ends by itself is seen by `/readyz`."""

    def __init__(self, workers: list[Worker], announce: Facts, stop: Stop) -> None:
        self._workers = workers
        self._announce = announce
        self._stop = stop
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        for worker in self._workers:
            task = asyncio.create_task(worker.run(self._stop.asked), name=f"{worker.kind} worker")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def __aexit__(self, *_: object) -> None:
        self._stop.ask()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.drain(self._stop.seconds_left()) for worker in self._workers))

    def stopped(self) -> list[str]:
        """Name the workers that do not run."""
        return [task.get_name() for task in self._tasks if task.done()]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._stop.asked.is_set():
            error = None if task.cancelled() else task.exception()
            self._announce("worker.stopped", worker=task.get_name(), error=repr(error))


def _settle_memory() -> None:
    """Let the garbage collector leave alone what is there for good: looking through it stops everybody for 25 ms."""
    gc.collect()
    gc.freeze()


def _most_attempts(settings: Settings) -> int:
    """Room for every endpoint's first requests, and for some that are told many things at once."""
    return FIRST_WINDOW * settings.notify_concurrency + 4 * WIDEST_WINDOW


def _raise_file_limit() -> None:
    """Take as many file descriptors as we may have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    with contextlib.suppress(OSError, ValueError):  # a system that says no leaves us what we had
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
