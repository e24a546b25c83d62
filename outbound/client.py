"""One HTTP exchange: a request out, an answer read whole, within bounds of time and size.

The one question that money hangs on is answered here: did the request leave? httpx-aiohttp reports a connection that
was lost after the request had gone by the same exception as one that never came about, so the aiohttp error beneath
decides.
"""

import asyncio
import ssl
import zlib
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from providers.http import NeverSent, Request, Response, Unread

CONNECT_SECONDS = 10.0
"""The longest wait for a connection; half of an exchange's own bound when that is less."""

SocketFactory = Callable[[Any], Any]

_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "renderhook"}


class Client:
    """The `Send` over one of httpx's transports: without a client no redirect is followed and no cookie kept.

    `seconds` bounds the whole exchange, `max_bytes` the answer's body.

    With `cut` a longer body is cut, and kept as it came; without, it is `Unread`, because half an answer is none.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *, seconds: float, max_bytes: int, cut: bool = False
    ) -> None:
        self._transport = transport
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._cut = cut

    async def __call__(self, request: Request) -> Response:
        """See `Send`."""
        outgoing = self._build(request)
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.handle_async_request(outgoing)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise Unread(f"no whole answer within {self._seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            kind = NeverSent if never_sent(error) else Unread
            raise kind(_words(error)) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(status=response.status_code, headers=headers, body=body)

    def _build(self, request: Request) -> httpx.Request:
        # Before the exchange's own time is over, or a connection that never came about would pass for an unread answer.
        limit = min(CONNECT_SECONDS, self._seconds / 2)
        try:
            return httpx.Request(
                request.method,
                request.url,
                headers=_HEADERS | {name.lower(): value for name, value in request.headers.items()},
                content=request.body or None,
                extensions={"timeout": {"connect": limit, "pool": limit}},
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise NeverSent(_words(error)) from error

    async def _read(self, response: httpx.Response) -> bytes:
        # Not by httpx, which unpacks a chunk whole, however often it is packed: some kilobytes fill the memory.
        packing = None if self._cut else _packing(response.headers.get("content-encoding", ""))
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += packing.decompress(chunk, self._max_bytes + 1 - len(body)) if packing else chunk
            if len(body) > self._max_bytes:
                if self._cut:
                    break
                raise Unread(f"the answer is longer than {self._max_bytes} bytes")
        if packing and response.num_bytes_downloaded and not packing.eof:
            raise Unread("the answer is compressed, and ends too early")
        return bytes(body[: self._max_bytes])


def never_sent(error: BaseException) -> bool:
    """Whether `error` proves that no byte of the request left: it never had a connection, or no usable address."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(
            cause,
            aiohttp.ClientConnectorError
            | aiohttp.ConnectionTimeoutError
            | aiohttp.InvalidURL
            | aiohttp.NonHttpUrlClientError,
        )
    return isinstance(
        error,
        httpx.ConnectError | httpx.PoolTimeout | httpx.UnsupportedProtocol | httpx.InvalidURL | aiohttp.InvalidURL,
    )


def open_transport(
    *,
    connections: int,
    keep_alive: bool = True,
    socket_factory: SocketFactory | None = None,
    resolver: AbstractResolver | None = None,
) -> AiohttpTransport:
    """Open a pool of connections that follows no redirect, keeps no cookie, and reads no proxy or netrc.

    `connections` bounds the sockets open at once. Without `keep_alive` each request has a connection of its own: one
    that was kept may be closed by the other side just as a request goes out, and then nobody knows whether it arrived.
    `socket_factory` and `resolver` see every address before it is
    connected to, and may refuse it with an OSError.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections,
            force_close=not keep_alive,
            ssl=ssl.create_default_context(),
            socket_factory=socket_factory,
            resolver=resolver,
            use_dns_cache=resolver is None,  # a guarded name is looked at anew for every connection
        )
        return aiohttp.ClientSession(
            connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    return AiohttpTransport(client=session)


def _packing(encoding: str) -> Any:
    if encoding.strip().lower() in {"", "identity"}:
        return None
    if encoding.strip().lower() in {"gzip", "x-gzip"}:  # some send it unasked
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    raise Unread(f"the answer is encoded as {encoding[:40]!r}, which was not asked for")


def _words(error: BaseException) -> str:
    """Say what happened without the request's URL: its query holds callback tokens and the users' own secrets."""
    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ClientConnectorError):
        said = f"{cause.host}:{cause.port} {cause.os_error.strerror or cause.os_error}"
    elif isinstance(cause, aiohttp.ClientResponseError):
        said = cause.message  # its text would have the URL
    elif isinstance(cause, aiohttp.InvalidURL | httpx.InvalidURL | UnicodeError):
        said = "it cannot be put on the wire"
    else:
        said = str(cause)
    return f"{type(cause).__name__}: {said}"[:500]
