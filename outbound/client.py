"""The HTTP client: one request and its whole response, within limits of time and size.

It distinguishes requests that were certainly not sent from those that may have been: a submission that may have been
sent is not repeated, because both may be billed. httpx-aiohttp raises the same exception for a connection that failed
and for one lost after the request was sent, so its cause, an aiohttp exception, decides.
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

from providers.http import NeverSent, Request, Response, TooLong, Unread

CONNECT_SECONDS = 10.0
"""The longest wait for a connection, or half of the client's time limit when that is less."""

SocketFactory = Callable[[Any], Any]

_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "renderhook"}


class Client:
    """A `Send` over an httpx transport. It follows no redirects and keeps no cookies.

    `seconds` limits the whole exchange, `max_bytes` the response's body. With `cut` a longer body is cut, and is not
    decompressed; without, it is `Unread`.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport, *, seconds: float, max_bytes: int, cut: bool = False
    ) -> None:
        self._transport = transport
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._cut = cut

    async def __call__(self, request: Request) -> Response:
        """Send `request` and read the whole response. Raises `NeverSent` or `Unread`."""
        outgoing = self._build(request)
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.handle_async_request(outgoing)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise Unread(f"no complete response within {self._seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            kind = NeverSent if never_sent(error) else Unread
            raise kind(_describe(error)) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(status=response.status_code, headers=headers, body=body)

    def _build(self, request: Request) -> httpx.Request:
        # Less than the client's own limit, or a connection that was never made would count as an unread response.
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
            raise NeverSent(_describe(error)) from error

    async def _read(self, response: httpx.Response) -> bytes:
        # httpx decompresses a whole chunk at once: a few kilobytes can expand to fill the memory.
        decompressor = None if self._cut else _decompressor(response.headers.get("content-encoding", ""))
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += decompressor.decompress(chunk, self._max_bytes + 1 - len(body)) if decompressor else chunk
            if len(body) > self._max_bytes:
                if self._cut:
                    break
                raise TooLong(response.status_code, self._max_bytes)
        if decompressor and response.num_bytes_downloaded and not decompressor.eof:
            raise Unread("the compressed response is truncated")
        return bytes(body[: self._max_bytes])


def never_sent(error: BaseException) -> bool:
    """Return whether `error` proves that nothing was sent: there was no connection, or no usable address."""
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
    """Open a connection pool that follows no redirects, keeps no cookies and ignores proxy settings and netrc.

    `connections` limits the open sockets. Without `keep_alive` each request has its own connection: the server may
    close an idle one just as a request is sent, and then it is unknown whether the request arrived. `socket_factory`
    and `resolver` see every address before it is connected to, and may refuse it with an OSError.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections,
            force_close=not keep_alive,
            ssl=ssl.create_default_context(),
            socket_factory=socket_factory,
            resolver=resolver,
            use_dns_cache=resolver is None,  # a guarded name is resolved again for every connection
        )
        return aiohttp.ClientSession(
            connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    return AiohttpTransport(client=session)


def _decompressor(encoding: str) -> Any:
    if encoding.strip().lower() in {"", "identity"}:
        return None
    if encoding.strip().lower() in {"gzip", "x-gzip"}:  # some servers send it unasked
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    raise Unread(f"the response is encoded as {encoding[:40]!r}, which was not asked for")


def _describe(error: BaseException) -> str:
    """Describe an exception without the request's URL: its query has callback tokens and users' secrets."""
    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ClientConnectorError):
        text = f"{cause.host}:{cause.port} {cause.os_error.strerror or cause.os_error}"
    elif isinstance(cause, aiohttp.ClientResponseError):
        text = cause.message  # its str() has the URL
    elif isinstance(cause, aiohttp.InvalidURL | httpx.InvalidURL | UnicodeError):
        text = "the URL or a header is invalid"
    else:
        text = str(cause)
    return f"{type(cause).__name__}: {text}"[:500]
