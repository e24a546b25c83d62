"""Middleware that requires an API key."""

import hmac
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from receiver.web.problems import Problem
from telemetry.emit import Emit

_LOOPBACK = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::(\d{1,5}))?", re.IGNORECASE)
"""Hosts that mean this machine. A web page may make its own name point here; its Host header has that name."""

_OF_A_PROXY = re.compile(r"x-forwarded-.*|forwarded|via|x-real-ip")


class ApiKeyGuard:
    """Middleware that requires one of `keys` as a bearer token, or, without any key, a direct request from loopback."""

    def __init__(self, app: ASGIApp, keys: Sequence[str], emit: Emit) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Raises Problem 401."""
        headers = Headers(scope=scope)
        if self._keys:
            self._check_key(scope, headers.get("authorization"))
        elif (reason := _why_not_direct(scope, headers)) is not None:
            self._emit_refused("not_direct", scope)
            raise Problem(
                401,
                f"API_KEY is not set, so only direct requests from this machine are accepted, and {reason}; behind a "
                f"proxy, in a container or from elsewhere, set API_KEY",
            )
        await self._app(scope, receive, send)

    def _check_key(self, scope: Scope, authorization: str | None) -> None:
        scheme, _, given = (authorization or "").partition(" ")
        matches = [hmac.compare_digest(key, given.strip().encode("latin-1", "replace")) for key in self._keys]
        if scheme.lower() == "bearer" and any(matches):
            return
        reason, detail = "key_unknown", "this API key is not one of the receiver's API_KEY"
        if not scheme:
            reason, detail = "key_missing", "it is missing"
        elif scheme.lower() != "bearer":
            reason, detail = "other_scheme", "the Authorization header has another scheme"
        self._emit_refused(reason, scope)
        raise Problem(
            401,
            f"{detail}: send Authorization: Bearer and one of the receiver's API keys",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _emit_refused(self, reason: str, scope: Scope) -> None:
        client = scope["client"][0] if scope.get("client") else None
        self._emit("request.refused", reason=reason, client=client)


def _why_not_direct(scope: Scope, headers: Headers) -> str | None:
    """Return why a request may not have been sent by a program of this machine to this receiver; None if it was."""
    peer = (scope.get("client") or ("", 0))[0]
    if not (peer == "::1" or peer.startswith(("127.", "::ffff:127."))):
        return "this one came from another address"
    if scope["http_version"] == "1.0" or any(_OF_A_PROXY.fullmatch(name) for name in headers):
        return "this one came through a proxy"
    hosts = headers.getlist("host")
    host = _LOOPBACK.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if host is None or int(host[1] or 80) != ((scope.get("server") or ("", None))[1] or 80):
        return "the Host header is not localhost, 127.0.0.1 or [::1] with the port that the receiver listens on"
    if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in headers.getlist("origin")):
        return "this one was made by a page of another site"
    return None
