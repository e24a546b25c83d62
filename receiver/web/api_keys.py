"""The guard of what needs an API key."""

import hmac
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.web.problems import Problem

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Host headers that mean this machine. A web page may make its own name point here; its Host header has that name."""


class ApiKeyGuard:
    """Middleware that requires one of `keys` as a bearer token, or, without any key, a Host header of loopback."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Raises Problem 401."""
        request = Request(scope)
        if not self._keys and request.url.hostname not in _LOOPBACK:
            raise Problem(
                401, "API_KEY is not set, so only requests with Host localhost, 127.0.0.1 or ::1 are accepted"
            )
        if self._keys:
            self._check(request.headers.get("authorization"))
        await self._app(scope, receive, send)

    def _check(self, authorization: str | None) -> None:
        if not authorization:
            raise _unauthorized("there is no API key; send Authorization: Bearer and one of the receiver's API keys")
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise _unauthorized("the Authorization header has another form; send Bearer, a space, and an API key")
        matches = [hmac.compare_digest(key, given.strip().encode("latin-1", "replace")) for key in self._keys]
        if not any(matches):
            raise _unauthorized("the API key is not one of this receiver's (API_KEY)")


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})
