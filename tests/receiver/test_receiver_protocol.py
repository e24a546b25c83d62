"""Limits on heads and bodies of requests: their size and their time."""

import asyncio
import logging
import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from receiver.web import protocol
from receiver.web import server as listening
from tests.receiver.callers import Caller, Reader, passed, said, serving
from tests.receiver.harness import until

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
LAST = HEAD + b"Connection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _nothing_breaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client makes us write down a internal_error of ours."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


# --- heads ----------------------------------------------------------------------------------------------------------


async def test_requests_on_one_connection_are_answered_in_order() -> None:
    async with serving() as port:
        answer = await said(port, HEAD + b"\r\n", LAST)
    assert answer.count(b"200 OK") == 2


@pytest.mark.parametrize(
    "part", [b"X: " + b"y" * 70_000 + b"\r\n", b"X: y\r\n" * 20_000], ids=["one long header", "many headers"]
)
async def test_a_head_that_is_too_long_closes_the_connection(part: bytes) -> None:
    async with serving() as port:
        answer = await said(port, HEAD, part, b"\r\n")
    assert b"200 OK" not in answer


@pytest.mark.parametrize(
    "part", [b"X: " + b"y" * 150 + b"\r\n", b"X: y\r\n" * 6], ids=["one long header", "many headers"]
)
async def test_a_head_that_is_too_long_gets_400(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LONGEST_HEAD", 200)
    async with serving() as port:
        answer = await said(port, HEAD + part + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"200 OK" not in answer


def refused(answer: bytes) -> bool:
    """Check for 400 or no response: the system may drop the response if unread data is left in the socket."""
    return answer.partition(b"\r\n")[0] in {b"", b"HTTP/1.1 400 Bad Request"}


@pytest.mark.parametrize("part", [b"y" * 1000, b"X: y\r\n" * 150], ids=["one long header", "many headers"])
async def test_a_head_that_grows_in_small_chunks_is_limited_too(part: bytes) -> None:
    async with serving() as port, Caller(port) as caller:
        await caller.say(HEAD + b"X: ", *[part] * (protocol.LONGEST_HEAD // len(part) + 1))
        assert refused(await caller.rest())


async def test_the_second_head_of_a_connection_is_limited_too() -> None:
    async with serving() as port, Caller(port) as caller:
        await caller.say(HEAD + b"\r\n")
        await caller.ok()
        await caller.say(HEAD + b"X: ", *[b"y" * 1000] * 66)
        assert refused(await caller.rest())


async def test_heads_of_usual_size_pass_repeatedly() -> None:
    head = HEAD + b"X: " + b"y" * 30_000 + b"\r\n"
    async with serving() as port:
        answer = await said(port, *[head + b"\r\n"] * 4, LAST)
    assert answer.count(b"200 OK") == 5


async def test_pipelined_heads_are_counted_separately() -> None:
    head = HEAD + b"X: " + b"y" * 2_000 + b"\r\n\r\n"
    async with serving() as port:
        answer = await said(port, head * 40 + LAST)
    assert answer.count(b"200 OK") == 41


async def test_a_body_is_not_counted_into_the_next_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LONGEST_HEAD", 200)
    app = Reader()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000 + LAST[:5])
        await caller.ok()
        await caller.say(LAST[5:])
        assert b"200 OK" in await caller.rest()
    assert app.bodies == b"x" * 1000


@pytest.mark.parametrize("claimed", [b"", HEAD], ids=["nothing sent", "half a head"])
async def test_a_connection_without_a_request_is_closed(claimed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with serving() as port:
        assert await said(port, claimed) == b""


async def test_a_slow_head_is_closed_in_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    async with serving() as port, Caller(port) as caller:
        await caller.say(HEAD + b"X: ")
        assert await caller.rest(dribble=b"y") == b""


async def test_a_response_may_take_longer_than_the_limit_of_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    app = Reader()
    app.may_answer.clear()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(HEAD + b"Content-Length: 1\r\nConnection: close\r\n\r\n", b"x")
        await app.called.wait()
        await passed(protocol.HEAD_SECONDS)
        app.may_answer.set()
        assert b"200 OK" in await caller.rest()


async def test_web_sockets_are_passed_to_the_application() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.close"})

    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    async with serving(refuse) as port:
        answer = await said(port, HEAD + upgrade + b"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_too_many_connections_get_503_and_earlier_ones_are_served() -> None:
    async with serving(most=2) as port, Caller(port) as first:
        async with Caller(port) as second:
            for caller in (first, second, first, second):
                await caller.say(HEAD + b"\r\n")
                await caller.ok()
                turned_away = await said(port, HEAD + b"\r\n")
                assert turned_away.startswith(b"HTTP/1.1 503 ")
                assert b"\r\nretry-after: 1\r\n" in turned_away
                assert b"\r\nconnection: close\r\n" in turned_away

        async def served() -> bool:
            return b"200 OK" in await said(port, LAST)

        await until(served)  # whose place is free again


# --- bodies ---------------------------------------------------------------------------------------------------------

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1)
    return protocol.BODY_SECONDS


@pytest.mark.parametrize(
    "claimed",
    [POST, POST + b"ab", CHUNKED, CHUNKED + b"2\r\nab\r\n"],
    ids=["nothing", "half", "no chunk", "a chunk and no end"],
)
async def test_a_missing_body_gets_408_and_the_application_reads_a_disconnect(claimed: bytes, impatient: float) -> None:
    app = Reader()
    async with serving(app) as port:
        answer = await said(port, claimed)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert app.messages[-1]["type"] == "http.disconnect"
    assert b"abcd".startswith(app.bodies)


async def test_a_slow_body_has_the_same_limit(impatient: float) -> None:
    app = Reader()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(POST.replace(b"4", b"9999"))
        answer = await caller.rest(dribble=b"x")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert app.messages[-1]["type"] == "http.disconnect"
    assert set(app.bodies) == set(b"x")


async def test_a_complete_body_is_not_limited_by_the_time_of_the_response(impatient: float) -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(POST)
        await app.called.wait()
        for piece in (b"a", b"b", b"cd"):
            await caller.say(piece)
            await until(lambda piece=piece: app.bodies.endswith(piece))  # type: ignore[misc]  # bound now, not later
        await passed(impatient)
        app.may_answer.set()
        assert b"200 OK" in await caller.ok()
    assert app.bodies == b"abcd"


async def test_each_request_of_a_connection_has_its_own_limit(impatient: float) -> None:
    app = Reader()
    async with serving(app) as port, Caller(port) as caller:
        for _ in range(2):
            app.called.clear()
            await caller.say(POST)
            await app.called.wait()
            await caller.say(b"abcd")
            assert b"200 OK" in await caller.ok()
            await passed(impatient)
        await caller.say(POST)
        assert (await caller.rest()).startswith(b"HTTP/1.1 408 ")
    assert app.bodies == b"abcdabcd"


async def test_an_unread_body_is_limited_too(impatient: float) -> None:
    async with serving() as port, Caller(port) as caller:  # answered before it came
        await caller.say(POST)
        assert b"200 OK" in await caller.ok()
        assert await caller.rest() == b""


async def test_the_limit_of_a_pipelined_body_starts_with_its_turn(impatient: float) -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(HEAD + b"\r\n" + POST)
        await passed(impatient)
        app.may_answer.set()
        answers = await caller.rest()
    assert [answers.count(status) for status in (b" 200 OK", b" 408 Request Timeout")] == [1, 1]
    assert answers.index(b" 200 OK") < answers.index(b" 408 ")


@pytest.mark.parametrize("line", [b"x:y\r\n" * 100, b"x" * 1000], ids=["many", "one that is long"])
async def test_trailers_are_limited_as_heads_are(line: bytes) -> None:
    async with serving(Reader()) as port, Caller(port) as caller:
        await caller.say(CHUNKED + b"2\r\nab\r\n0\r\n", b"x:" if line == b"x" * 1000 else b"")
        async with asyncio.timeout(5):
            sent = 0
            while not caller.closed:
                await caller.say(line)
                sent += len(line)
    assert sent < 8_000_000  # most of it never read: what the kernel's buffers hold


async def test_a_head_of_many_tiny_headers_is_refused_before_it_ends() -> None:
    async with serving() as port:
        answer = await said(port, HEAD + b"a:\r\n" * 2500)
    assert refused(answer)


async def test_stray_line_ends_do_not_keep_a_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    async with serving() as port, Caller(port) as caller:
        await caller.say(HEAD + b"\r\n")
        await caller.ok()
        assert await caller.rest(dribble=b"\r\n") == b""


@pytest.mark.parametrize(("allowed", "duplicates"), [(48, 2), (16, 0), (1024, 31), (65_536, 31)])
def test_the_listening_socket_leaves_descriptors_for_connections(
    allowed: int, duplicates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (allowed, allowed))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        more = listening._duplicates(listener)
        assert {each.getsockname() for each in more} <= {listener.getsockname()}
        for each in more:
            each.close()
    assert len(more) == duplicates
