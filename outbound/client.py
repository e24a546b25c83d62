"""The HTTP client: one request and its response, within limits of time and size.

It distinguishes requests that were certainly not sent from those that may have been: a submission that may have been
sent is not repeated, because both may be billed. The transport's exceptions decide: see `never_sent`.
"""

import asyncio
import errno
import functools
import re
import socket
import zlib
from collections.abc import AsyncIterator

import httpx
import msgspec

from outbound.gunzip import gunzip
from outbound.names import Busy, Names
from outbound.response_heads import HeadLimits
from outbound.targets import Resolve, SocketFactory
from outbound.transport import HEAD_LIMITS, Progress, Transport
from providers.http import NeverSent, Request, Response, TooLong, Unread

CONNECT_SECONDS = 10.0
"""The longest wait for a connection, or half of the client's time limit when that is less."""

STATUS_LINE_LIMITS = HeadLimits(max_bytes=65_536, max_fields=1_000)
"""Of a response of which the status line is enough."""

_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "renderhook"}
_SPLIT_URL = re.compile(r"[A-Za-z]+://[^/?#]*([^#]*)")
_VISIBLE = re.compile(r"[\x21-\x7e]*")
_OUR_ERRNOS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, socket.EAI_MEMORY}
)


class NotReached(NeverSent):
    """Nothing was sent for a reason on our side: no free connection, file, port or thread. The server may be well."""


class Client:
    """A `Send` over an httpx transport. It follows no redirects and keeps no cookies.

    `seconds` limits the whole exchange, `max_bytes` the response's body. With `status_suffices` a longer body is cut
    and is not decompressed, and what is wrong after the status line is ignored. Without, such a response is `Unread`,
    unless what was read of it suffices: a status other than 2xx, or a body that is complete JSON.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        seconds: float,
        max_bytes: int,
        status_suffices: bool = False,
    ) -> None:
        self._transport = transport
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._status_suffices = status_suffices

    async def __call__(self, request: Request) -> Response:
        """Send `request` and read the whole response. Raises `NeverSent` or `Unread`."""
        progress = Progress()
        outgoing = self._build(request, progress)
        response, body = None, bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.handle_async_request(outgoing)
                try:
                    await self._read(response, body)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            return self._salvage(progress, response, body, f"no complete response within {self._seconds:g} s", error)
        except httpx.HTTPError as error:
            if never_sent(error):
                raise (NotReached if _our_fault(error) else NeverSent)(str(error)) from error
            return self._salvage(progress, response, body, str(error), error)
        except zlib.error as error:
            return self._salvage(progress, response, body, "the compressed response cannot be read", error)
        return _response(response.status_code, response, body)

    def _build(self, request: Request, progress: Progress) -> httpx.Request:
        # Less than the client's own limit, or a connection that was never made would count as an unread response.
        limit = min(CONNECT_SECONDS, self._seconds / 2)
        try:
            url, target = _parse_url(request.url)
            return httpx.Request(
                request.method,
                url,
                headers=_HEADERS | {name.lower(): value for name, value in request.headers.items()},
                content=request.body or None,
                extensions={"timeout": {"connect": limit}, "progress": progress, "target": target},
            )
        except (httpx.InvalidURL, ValueError) as error:  # whose text may have the URL or the header
            raise NeverSent("the URL or a header of the request is invalid") from error

    async def _read(self, response: httpx.Response, body: bytearray) -> None:
        async for part in self._parts(response):
            body += part
            if len(body) > self._max_bytes:
                del body[self._max_bytes :]
                if self._status_suffices or not response.is_success:
                    return
                raise TooLong(response.status_code, self._max_bytes)

    def _parts(self, response: httpx.Response) -> AsyncIterator[bytes]:
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if self._status_suffices or encoding in {"", "identity"}:
            return response.aiter_raw()
        if encoding in {"gzip", "x-gzip"}:  # some servers send it unasked
            return gunzip(response.aiter_raw())
        raise httpx.RemoteProtocolError("the response has a content-encoding that was not asked for")

    def _salvage(
        self, progress: Progress, response: httpx.Response | None, body: bytearray, fault: str, error: Exception
    ) -> Response:
        """Return what was read before `fault`, if that suffices. Raises `Unread`."""
        status = progress.status
        if status is not None and (self._status_suffices or not 200 <= status < 300 or _is_json_object(body)):
            return _response(status, response, body)
        raise Unread(fault) from error


def _is_json_object(body: bytearray) -> bool:
    try:
        return isinstance(msgspec.json.decode(body, type=dict[str, msgspec.Raw]), dict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def never_sent(error: BaseException) -> bool:
    """Return whether `error` of the transport proves that nothing was sent."""
    return isinstance(
        error,
        httpx.ConnectError
        | httpx.ConnectTimeout
        | httpx.PoolTimeout
        | httpx.UnsupportedProtocol
        | httpx.LocalProtocolError,
    )


def open_transport(
    *,
    connections: int,
    keep_alive: bool = True,
    socket_factory: SocketFactory | None = None,
    resolve: Resolve | None = None,
    limits: HeadLimits = HEAD_LIMITS,
) -> Transport:
    """Open a connection pool that follows no redirects, keeps no cookies and ignores proxy settings and netrc.

    `connections` limits the open sockets. Without `keep_alive` each request has its own connection: the server may
    close an idle one just as a request is sent, and then it is unknown whether the request arrived. `socket_factory`
    and `resolve` see every address before it is connected to, and may refuse it with an OSError.
    """
    return Transport(
        connections=connections,
        keep_alive=keep_alive,
        socket_factory=socket_factory,
        resolve=resolve or Names(most=connections).resolve,
        limits=limits,
    )


@functools.lru_cache(maxsize=1024)
def _parse_url(text: str) -> tuple[httpx.URL, bytes]:
    """Return the URL, and what the request line names: as it was written, because a signature may cover it."""
    url = httpx.URL(text)
    written = _SPLIT_URL.match(text)
    if written is None or not _VISIBLE.fullmatch(written[1]):
        return url, url.raw_path
    target = written[1]
    return url, (target if target.startswith("/") else f"/{target}").encode()


def _response(status: int, response: httpx.Response | None, body: bytearray) -> Response:
    headers = {} if response is None else {name.lower(): value for name, value in response.headers.items()}
    return Response(status=status, headers=headers, body=bytes(body))


def _our_fault(error: httpx.HTTPError) -> bool:
    cause = error.__cause__
    return (
        isinstance(error, httpx.PoolTimeout)
        or isinstance(cause, Busy)
        or (isinstance(cause, OSError) and cause.errno in _OUR_ERRNOS)
    )
