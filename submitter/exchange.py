"""One HTTP exchange: a request out, an answer read whole, within bounds of time and size.

The one question that money hangs on is answered here: did the request leave? httpx-aiohttp reports a connection that
was lost after the request had gone by the same exception as one that never came about, so the aiohttp error beneath
decides.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from providers.wire import Answer, NeverSent, Request, Unread

CONNECT_SECONDS = 10.0

SocketFactory = Callable[[Any], Any]


class Exchange:
    """The `Send` over httpx. `seconds` bounds the whole exchange, `max_bytes` the answer's body.

    With `cut` a longer body is cut; without, it is `Unread`, because half an answer is none.
    """

    def __init__(self, client: httpx.AsyncClient, *, seconds: float, max_bytes: int, cut: bool = False) -> None:
        self._client = client
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._cut = cut

    async def __call__(self, request: Request) -> Answer:
        """See `Send`."""
        outgoing = self._client.build_request(
            request.method, request.url, headers=dict(request.headers), content=request.body or None
        )
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._client.send(outgoing, stream=True)
                try:
                    body = await self._read(response)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise Unread(f"no whole answer within {self._seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError) as error:
            kind = NeverSent if never_sent(error) else Unread
            raise kind(_words(error)) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(status=response.status_code, headers=headers, body=body)

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                if self._cut:
                    break
                raise Unread(f"the answer is longer than {self._max_bytes} bytes")
        return bytes(body[: self._max_bytes])


def never_sent(error: BaseException) -> bool:
    """Whether `error` proves that no byte of the request left: it never had a connection, or no usable address."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)
    return isinstance(
        error,
        httpx.ConnectError | httpx.PoolTimeout | httpx.UnsupportedProtocol | httpx.InvalidURL | aiohttp.InvalidURL,
    )


def open_client(
    *, connections: int, socket_factory: SocketFactory | None = None, resolver: AbstractResolver | None = None
) -> httpx.AsyncClient:
    """Open a client that follows no redirect and reads no proxy or netrc from the environment.

    `connections` bounds the sockets open at once. `socket_factory` and `resolver` see every address before it is
    connected to, and may refuse it with an OSError.
    """

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections,
            ssl=ssl.create_default_context(),
            socket_factory=socket_factory,
            resolver=resolver,
            use_dns_cache=resolver is None,  # a guarded name is looked at anew for every connection
        )
        return aiohttp.ClientSession(
            connector=connector, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )

    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
    transport = AiohttpTransport(client=session)
    return httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False, follow_redirects=False)


def _words(error: BaseException) -> str:
    return f"{type(error.__cause__ or error).__name__}: {error}"[:500]
