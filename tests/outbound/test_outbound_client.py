"""Whether a request was sent: `NeverSent` only when the server received nothing of it, `Unread` otherwise."""

import asyncio
import zlib

import pytest

from outbound import client as exchange
from providers.http import NeverSent, Request, Response, Unread
from tests.outbound.loopback import Behaviour, Connection, refused_port, result_of, serve, unanswered_port, until
from tests.submitter.conftest import Opening

MARK = "only-this-request-says-so"


def post(url: str, mark: str = MARK, body: bytes = b"") -> Request:
    return Request(method="POST", url=f"{url}/a", headers={"X-Mark": mark}, body=body or b"{}")


def says(*parts: bytes, reset: bool = False) -> Behaviour:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(*parts)
        if reset:
            connection.reset()

    return behave


async def never(connection: Connection) -> None:
    await connection.read_request()
    await asyncio.Event().wait()


async def drips(connection: Connection) -> None:
    await connection.read_request()
    await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await connection.write(b" ")
        await asyncio.sleep(0.01)


async def resets_within_a_long_request(connection: Connection) -> None:
    connection.server.received += await connection._reader.read(1000)
    connection.reset()


HEAD = b"HTTP/1.1 200 OK\r\n"
HALF_GZIP = zlib.compress(b"{}" * 5000, wbits=31)[:20]

LOST: dict[str, Behaviour] = {
    "hangs up": says(),
    "resets": says(reset=True),
    "hangs up within the status": says(b"HTTP/1."),
    "hangs up within the headers": says(HEAD + b"Content-Le"),
    "resets within the headers": says(HEAD + b"Content-Le", reset=True),
    "hangs up within the body": says(HEAD + b'Content-Length: 20\r\n\r\n{"request'),
    "resets within the body": says(HEAD + b'Content-Length: 20\r\n\r\n{"request', reset=True),
    "hangs up within a chunk": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}"),
    "hangs up between chunks": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "miscounts a chunk": says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n{}\r\n0\r\n\r\n"),
    "speaks no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "speaks nonsense": says(bytes(range(256)) * 4),
    "has a NUL in a header": says(HEAD + b"X-Odd: a\x00b\r\nContent-Length: 2\r\n\r\n{}"),
    "has endless headers": says(HEAD + b"X-Long: " + b"a" * 300_000),
    "sends half a gzip": says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + HALF_GZIP),
    "sends no gzip": says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
    "sends an unknown encoding": says(HEAD + b"Content-Encoding: zstd\r\nContent-Length: 2\r\n\r\n{}"),
    "answers too long": says(HEAD + b"Content-Length: 70000\r\n\r\n" + b" " * 70_000),
    "never answers": never,
    "drips for ever": drips,
}


@pytest.mark.parametrize("behave", LOST.values(), ids=LOST.keys())
async def test_an_incomplete_response_is_unread(behave: Behaviour, opening: Opening) -> None:
    async with serve(behave) as there:
        error = await result_of(opening(seconds=0.3)(post(there.url)))
        assert there.times_sent(MARK) == 1
    assert isinstance(error, Unread), repr(error)


async def test_a_header_of_the_request_replaces_the_default(opening: Opening) -> None:
    async with serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as there:
        asked = Request(method="GET", url=there.url, headers={"Accept": "application/json", "User-Agent": "me"})
        await opening()(asked)
        received = there.received.lower()
    assert [received.count(name) for name in (b"\r\naccept:", b"\r\nuser-agent:")] == [1, 1]
    assert b"accept: application/json\r\n" in received
    assert b"user-agent: me\r\n" in received


async def test_a_reset_within_a_long_request_is_unread(opening: Opening) -> None:
    async with serve(resets_within_a_long_request) as there:
        error = await result_of(opening()(post(there.url, body=b" " * 1_000_000)))
        assert there.times_sent(MARK) == 1
    assert isinstance(error, Unread), repr(error)


async def test_a_connection_closed_at_once_is_never_reported_as_never_sent(opening: Opening) -> None:
    async def hangs_up(connection: Connection) -> None:
        connection.reset()

    async with serve(hangs_up) as there:
        send = opening()
        for _ in range(20):
            assert type(await result_of(send(post(there.url)))) is Unread


async def test_a_refused_connection_was_never_sent(opening: Opening) -> None:
    with refused_port() as url:
        assert type(await result_of(opening()(post(url)))) is NeverSent


@pytest.mark.parametrize("url", ["http://nowhere.invalid", "ftp://127.0.0.1", "http://[", "http://", "http://a\x00b"])
async def test_an_unusable_url_was_never_sent(url: str, opening: Opening) -> None:
    assert type(await result_of(opening()(post(url)))) is NeverSent


@pytest.mark.parametrize(("limit", "seconds"), [(0.2, 5.0), (10.0, 0.4)])
async def test_a_connection_timeout_was_never_sent(
    limit: float, seconds: float, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "CONNECT_SECONDS", limit)
    with unanswered_port() as url:
        assert type(await result_of(opening(seconds=seconds)(post(url)))) is NeverSent


async def test_a_failed_tls_handshake_was_never_sent(opening: Opening) -> None:
    async def speaks_plainly(connection: Connection) -> None:
        connection.server.received += await connection._reader.read(4096)
        await connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serve(speaks_plainly) as there:
        error = await result_of(opening()(post(there.url.replace("http:", "https:"))))
        assert b"POST" not in there.received
        assert there.times_sent(MARK) == 0
    assert type(error) is NeverSent, repr(error)


async def test_a_refused_address_was_never_sent(opening: Opening) -> None:
    def refuse(_: object) -> None:
        raise OSError("not allowed")

    async with serve(says()) as there:
        assert type(await result_of(opening(socket_factory=refuse)(post(there.url)))) is NeverSent
        assert there.calls == 0


async def test_a_timeout_waiting_for_a_free_connection_was_never_sent(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "CONNECT_SECONDS", 0.2)
    async with serve(never) as there:
        send = opening(connections=1)
        first = asyncio.ensure_future(result_of(send(post(there.url, "first"))))
        await until(lambda: there.times_sent("first"))
        error = await result_of(send(post(there.url, "second")))
        assert type(error) is NeverSent, repr(error)
        assert (there.times_sent("first"), there.times_sent("second")) == (1, 0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "schlüssel"])
async def test_an_invalid_header_value_is_not_sent(value: str, opening: Opening) -> None:
    async with serve(says(HEAD + b"Content-Length: 2\r\n\r\n{}")) as there:
        request = Request(method="POST", url=there.url, headers={"Authorization": value}, body=b"{}")
        ended = await result_of(opening()(request))
        assert isinstance(ended, NeverSent | Unread | Response)
        assert b"\nX-Evil" not in there.received
        if not isinstance(ended, Response):
            assert there.received == b""
