"""The web application: what is mounted where, and the response to each error."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ledger.errors import CannotOpen, LedgerError, Unavailable
from providers.provider import CALLBACKS
from receiver.web.api_keys import ApiKeyGuard
from receiver.web.problems import Problem, database_problem, internal_error
from telemetry.emit import Emit

ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]


class App:
    """The ASGI application. Callbacks, under `CALLBACKS`, bypass Starlette: its routing takes a tenth of their time.

    `v1` are the routes under `/v1`, which need one of `api_keys`, as do the `guarded` ones; `unguarded` need none.
    """

    def __init__(
        self,
        *,
        callbacks: ASGIApp,
        v1: Sequence[BaseRoute],
        guarded: Sequence[Route],
        unguarded: Sequence[BaseRoute],
        api_keys: Sequence[str],
        emit: Emit,
    ) -> None:
        self._callbacks = callbacks
        guard = [Middleware(ApiKeyGuard, keys=api_keys, emit=emit)]
        routes = [
            *unguarded,
            Mount("/v1", app=Router(v1, redirect_slashes=False), middleware=guard),
            *(Route(route.path, route.endpoint, middleware=guard) for route in guarded),
        ]
        self.routed = Starlette(routes=routes, exception_handlers=_exception_handlers(emit))
        self.routed.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_callback = scope["type"] == "http" and scope["path"].startswith(CALLBACKS)
        await (self._callbacks if is_callback else self.routed)(scope, receive, send)


def _exception_handlers(emit: Emit) -> dict[Any, ExceptionHandler]:
    async def answer_database_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, LedgerError)
        emit("database.call_failed", error=str(error))
        return database_problem(error).response()

    return {
        Problem: _answer_problem,
        HTTPException: _answer_http_exception,
        Unavailable: answer_database_error,
        CannotOpen: answer_database_error,
        Exception: _answer_unforeseen,
    }


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        detail = f"{request.method} is not allowed for {request.url.path}"
        return Problem(405, detail, headers=error.headers).response()
    return Problem(404, f"there is nothing at {request.url.path}").response()


async def _answer_unforeseen(_: Request, error: Exception) -> Response:
    return internal_error(error).response()
