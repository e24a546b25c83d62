"""The web application: every address, what answers it, and what each error becomes."""

import hmac
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.errors import CannotOpen, Unanswered, Unavailable
from providers.provider import CALLBACKS
from receiver.api.deliveries import DeliveriesApi
from receiver.api.health import Health
from receiver.api.jobs import JobsApi
from receiver.callbacks.application import Callbacks
from receiver.web.problems import Problem, internal_error, service_unavailable
from telemetry.emit import Emit

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    *,
    callbacks: Callbacks,
    jobs: JobsApi,
    deliveries: DeliveriesApi,
    health: Health,
    api_keys: Sequence[str],
    emit: Emit,
) -> ASGIApp:
    """Compose the application. `api_keys` guard everything but callbacks and health; none leaves it open (loopback)."""
    guarded = _Guard(api_keys)
    routes = [
        Route("/v1/jobs", guarded(jobs.create_or_list), methods=["POST", "GET"]),
        Route("/v1/jobs/{job_id}", guarded(jobs.read), methods=["GET"]),
        Route("/v1/jobs/{job_id}/events", guarded(jobs.events), methods=["GET"]),
        Route("/v1/jobs/{job_id}/receipts", guarded(jobs.receipts), methods=["GET"]),
        Route("/v1/deliveries", guarded(deliveries.list), methods=["GET"]),
        Route("/v1/deliveries/{delivery_id}", guarded(deliveries.read), methods=["GET"]),
        Route("/v1/deliveries/{delivery_id}/replay", guarded(deliveries.replay), methods=["POST"]),
        Route("/healthz", health.alive, methods=["GET"]),
        Route("/readyz", health.ready, methods=["GET"]),
        Route("/metrics", guarded(health.metrics), methods=["GET"]),
    ]

    async def ledger_away(_: Request, error: Exception) -> Response:
        emit("database.call_failed", error=str(error))
        if isinstance(error, Unanswered):
            return service_unavailable(
                "the ledger did not answer; it was done, or not: look before asking again"
            ).response()
        return service_unavailable("the ledger does not answer just now; nothing was changed").response()

    app = Starlette(
        routes=routes,
        exception_handlers={
            Problem: _answer_problem,
            HTTPException: _answer_http_exception,
            Unavailable: ledger_away,
            CannotOpen: ledger_away,
            Exception: _answer_mistake,
        },
    )
    app.router.redirect_slashes = False  # fal follows no redirect: https://fal.ai/docs/model-apis/webhooks
    return _Front(callbacks, app)


class _Front:
    """Hands callbacks to what answers them, past Starlette's routing, which would take a tenth of their time."""

    def __init__(self, callbacks: Callbacks, others: Starlette) -> None:
        self._callbacks = callbacks
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        await (self._callbacks if path.startswith(CALLBACKS) else self._others)(scope, receive, send)


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Host headers that mean this machine. A web page may make its own name point here; the header still has that name."""


class _Guard:
    """Lets through who carries one of the API keys as a bearer token, or, where there are none, asks for localhost."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            if not self._keys and request.url.hostname not in _LOOPBACK:
                raise Problem(401, "without an API_KEY only this machine is served, by the name of localhost")
            if self._keys and not self._knows(request.headers.get("authorization", "")):
                raise Problem(
                    401,
                    "send Authorization: Bearer and one of the receiver's API keys",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            return await endpoint(request)

        return guarded

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        matches = [hmac.compare_digest(key, given.strip().encode("latin-1", "replace")) for key in self._keys]
        return scheme.lower() == "bearer" and any(matches)


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return Problem(405, f"{request.method} is not for {request.url.path}", headers=error.headers).response()
    return Problem(404, f"there is nothing at {request.url.path}").response()


async def _answer_mistake(_: Request, error: Exception) -> Response:
    return internal_error(error).response()
