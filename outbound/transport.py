"""An HTTP/1.1 transport under httpx's interface: one request over one connection, and its response as it comes.

What it raises says whether the request may have left. `httpx.ConnectError`, `ConnectTimeout`, `PoolTimeout`,
`UnsupportedProtocol` and `LocalProtocolError`: nothing was written. `ReadError` and `RemoteProtocolError`: it was.
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohappyeyeballs
import httpx

from outbound.connection import Connection
from outbound.names import Addresses
from outbound.pool import ConnectionPool, Origin
from outbound.response_bodies import Body, body_of
from outbound.response_heads import Head, HeadLimits, HeadReader, MalformedHead
from outbound.targets import SocketFactory

HEAD_LIMITS = HeadLimits(max_bytes=524_288, max_fields=2_000)

NEXT_ADDRESS_SECONDS = 0.25
"""How long to wait for an address of a host before the next is tried too. https://www.rfc-editor.org/rfc/rfc8305"""

_PORTS = {"http": 80, "https": 443}
_TARGET = re.compile(rb"[\x21-\x7e]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Resolve = Callable[[str, int], Awaitable[Addresses]]


class Progress:
    """What is known of a response before it is returned. A request carries one as its extension `progress`."""

    status: int | None = None


class Transport(httpx.AsyncBaseTransport):
    """Sends requests. It follows no redirects, keeps no cookies, and ignores proxy settings and netrc.

    Of a request's timeouts, `connect` bounds all that comes before the first byte is written. The extension `target`
    is what the request line names instead of the URL's normalized path.
    """

    def __init__(
        self,
        *,
        connections: int,
        keep_alive: bool,
        resolve: Resolve,
        socket_factory: SocketFactory | None,
        limits: HeadLimits = HEAD_LIMITS,
    ) -> None:
        self._pool = ConnectionPool(self._open, most=connections, keep_alive=keep_alive)
        self._keep_alive = keep_alive
        self._resolve = resolve
        self._socket_factory = socket_factory
        self._limits = limits
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`, and return its response when the head has been read."""
        origin = _origin(request.url)
        head, body = self._request_head(request), await request.aread()
        progress: Progress = request.extensions.get("progress") or Progress()
        connection, kept = await self._acquire(origin, request.extensions.get("timeout", {}).get("connect"))
        try:
            connection.write(head, body)
            found = await self._read_head(connection, progress, silence_is_none=kept and request.method == "GET")
            if found is None:  # closed while it was kept: a GET may be sent again
                connection.close()
                connection = await self._pool.connect(origin)
                connection.write(head, body)
                found = await self._read_head(connection, progress, silence_is_none=False)
            assert found is not None
        except BaseException as error:
            self._pool.release(connection, origin, reusable=False)
            if isinstance(error, MalformedHead):
                raise httpx.RemoteProtocolError(str(error)) from error
            if isinstance(error, OSError):
                raise httpx.ReadError(f"the connection was lost: {describe(error)}") from error
            raise
        response, rest = found
        progress.status = response.status
        stream = _Stream(
            connection, body_of(response), rest, lambda ok: self._pool.release(connection, origin, reusable=ok)
        )
        return httpx.Response(response.status, headers=list(response.fields), stream=stream)

    async def aclose(self) -> None:
        """Close the connections that are kept. Those in use end with their responses."""
        self._pool.close()

    async def _acquire(self, origin: Origin, seconds: float | None) -> tuple[Connection, bool]:
        placed = False
        try:
            async with asyncio.timeout(seconds):
                await self._pool.place()
                placed = True
                kept = self._pool.kept(origin)
                return (kept, True) if kept else (await self._pool.connect(origin), False)
        except BaseException as error:
            if placed:
                self._pool.release(None, origin, reusable=False)
            where = f"{origin.host}:{origin.port}"
            if isinstance(error, TimeoutError) and not placed:
                raise httpx.PoolTimeout(f"no connection was free for {where} within {seconds} s") from error
            if isinstance(error, TimeoutError):
                raise httpx.ConnectTimeout(f"{where} was not reached within {seconds} s") from error
            if isinstance(error, OSError | ValueError | RuntimeError):  # uvloop raises RuntimeError for some addresses
                raise httpx.ConnectError(f"{where} was not reached: {describe(error)}") from error
            raise

    async def _open(self, origin: Origin) -> Connection:
        addresses = await self._resolve(origin.host, origin.port)
        sock = await aiohappyeyeballs.start_connection(
            list(addresses), happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, socket_factory=self._socket_factory
        )
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection,
                sock=sock,
                ssl=self._tls if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        except BaseException:
            with contextlib.suppress(OSError):  # the loop may have closed it
                sock.close()
            raise
        return connection

    async def _read_head(
        self, connection: Connection, progress: Progress, *, silence_is_none: bool
    ) -> tuple[Head, bytes] | None:
        reader, anything = HeadReader(self._limits), False
        while True:
            try:
                data = await connection.read()
            except OSError:
                if silence_is_none and not anything:
                    return None
                raise
            if not data:
                if silence_is_none and not anything:
                    return None
                raise MalformedHead("the server closed the connection before its response was complete")
            anything = True
            try:
                head = reader.feed(data)
            finally:
                progress.status = reader.status
            if head is not None:
                return head, reader.rest

    def _request_head(self, request: httpx.Request) -> bytes:
        target = request.extensions.get("target", request.url.raw_path)
        lines = [b"%s: %s" % field for field in request.headers.raw]
        if not self._keep_alive:
            lines.append(b"Connection: close")
        block = b"\r\n".join(lines)
        line_breaks = len(lines) - 1
        valid = block.count(b"\r") == block.count(b"\n") == line_breaks and b"\0" not in block
        if not valid or not _TARGET.fullmatch(target) or not _TOKEN.fullmatch(request.method):
            raise httpx.LocalProtocolError("the method, the URL or a header of the request cannot be sent")
        return b"%s %s HTTP/1.1\r\n%s\r\n\r\n" % (request.method.encode(), target, block)


class _Stream(httpx.AsyncByteStream):
    """The body of a response. `release` is called once, with whether the connection may be used again."""

    def __init__(self, connection: Connection, body: Body, rest: bytes, release: Callable[[bool], None]) -> None:
        self._connection = connection
        self._body = body
        self._rest = rest
        self._release: Callable[[bool], None] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body, data = self._body, self._rest
        while True:
            if data and (part := body.feed(data)):
                yield part
            if body.done:
                return
            if body.fault:
                raise httpx.RemoteProtocolError(body.fault)
            try:
                data = await self._connection.read()
            except OSError as error:
                raise httpx.ReadError(f"the connection was lost: {describe(error)}") from error
            if not data:
                body.end()
                if body.fault is None:
                    return

    async def aclose(self) -> None:
        """Keep the connection for the next request if the body was read whole, or close it."""
        if self._release is not None:
            release, self._release = self._release, None
            release(self._body.reusable and self._connection.written)


def describe(error: BaseException) -> str:
    """Return what the system says of an error, and never what a library makes of it: that may quote the request."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', None) or error.reason or 'unknown reason'}"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _origin(url: httpx.URL) -> Origin:
    if url.scheme not in _PORTS or not url.raw_host:
        raise httpx.UnsupportedProtocol("the URL is not an absolute http or https URL")
    return Origin(url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme], url.scheme == "https")
