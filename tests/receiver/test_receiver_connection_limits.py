"""How much a connection may take, for how long, and how many there may be."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from receiver.http import server as listening
from receiver.http.heads import LONGEST_HEAD
from tests.receiver.callers import Caller, Reader, ok, passed, said, serving, statuses
from tests.receiver.harness import until

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
GET = HEAD + b"\r\n"
LAST = HEAD + b"Connection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- heads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [b"y" * 1000, b"X: y\r\n" * 150], ids=["one long header", "many headers"])
async def test_a_head_that_grows_in_small_packets_is_limited(part: bytes) -> None:
    async with serving() as port, Caller(port) as caller:
        await caller.say(HEAD + b"X: ", *[part] * (LONGEST_HEAD // len(part) + 1))
        assert statuses(await caller.rest()) == [431]


async def test_the_second_head_of_a_connection_is_limited_too() -> None:
    async with serving() as port, Caller(port) as caller:
        await caller.say(GET)
        await caller.ok()
        await caller.say(HEAD + b"X: ", *[b"y" * 1000] * 66)
        assert statuses(await caller.rest()) == [431]


async def test_heads_of_usual_size_pass_repeatedly_and_are_counted_separately() -> None:
    head = HEAD + b"X: " + b"y" * 30_000 + b"\r\n\r\n"
    async with serving() as port:
        assert statuses(await said(port, *[head] * 4, head * 4, LAST)) == [200] * 9


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n", HEAD, HEAD + UPGRADE], ids=["nothing", "an empty line", "half a head", "half an upgrade"]
)
@pytest.mark.parametrize("dribble", [b"", b"y"], ids=["stops", "dribbles"])
async def test_a_connection_without_a_request_is_closed_in_time(sent: bytes, dribble: bytes) -> None:
    if sent == b"\r\n":
        dribble = sent if dribble else b""
    async with serving(head_seconds=0.1) as port, Caller(port) as caller:
        await caller.say(sent)
        assert await caller.rest(dribble=dribble) == b""


@pytest.mark.parametrize("sent", [b"G", b"\r\n"])
@pytest.mark.parametrize("dribble", [b"", b"\r\n"], ids=["stops", "dribbles"])
async def test_the_next_head_has_the_same_time(sent: bytes, dribble: bytes) -> None:
    async with serving(head_seconds=0.1) as port, Caller(port) as caller:
        await caller.say(GET)
        await caller.ok()
        await caller.say(sent)
        assert await caller.rest(dribble=dribble if sent == b"\r\n" else b"") == b""


async def test_a_response_may_take_longer_than_the_limits_of_a_request() -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app, head_seconds=0.05, body_seconds=0.05) as port, Caller(port) as caller:
        await caller.say(POST + b"abcd")
        await app.called.wait()
        await passed(0.2)
        app.may_answer.set()
        await caller.ok()


async def test_an_idle_connection_is_kept_for_the_time_of_the_setting() -> None:
    async with serving(head_seconds=0.05, keep_alive_seconds=0.3) as port, Caller(port) as caller:
        began = asyncio.get_running_loop().time()
        for _ in range(2):
            await caller.say(GET)
            await caller.ok()
            await passed(0.1)
        assert not caller.closed
        assert await caller.rest() == b""
        assert asyncio.get_running_loop().time() - began > 0.3


# --- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [POST, POST + b"ab", CHUNKED, CHUNKED + b"2\r\nab\r\n", POST[:-2] + UPGRADE + b"\r\n"],
    ids=["nothing", "half", "no chunk", "a chunk and no end", "an upgrade without its body"],
)
async def test_a_missing_body_gets_408_and_the_application_is_disconnected(sent: bytes) -> None:
    app = Reader()
    async with serving(app, body_seconds=0.1) as port:
        received = await said(port, sent)
    assert statuses(received) == [408]
    assert b"\r\nconnection: close\r\n" in received
    assert b"application/problem+json" in received
    assert app.messages[-1]["type"] == "http.disconnect"
    assert b"abcd".startswith(app.bodies)


async def test_a_slow_body_has_the_same_limit() -> None:
    app = Reader()
    async with serving(app, body_seconds=0.1) as port, Caller(port) as caller:
        await caller.say(POST.replace(b"4", b"9999"))
        assert statuses(await caller.rest(dribble=b"x")) == [408]
    assert app.messages[-1]["type"] == "http.disconnect"
    assert set(app.bodies) == set(b"x")


async def test_each_request_of_a_connection_has_a_limit_of_its_own() -> None:
    app = Reader()
    async with serving(app, body_seconds=0.1) as port, Caller(port) as caller:
        for _ in range(2):
            app.called.clear()
            await caller.say(POST)
            await app.called.wait()
            await caller.say(b"abcd")
            await caller.ok()
            await passed(0.1)
        await caller.say(POST)
        assert statuses(await caller.rest()) == [408]
    assert app.bodies == b"abcdabcd"


async def test_the_limit_of_a_pipelined_body_starts_with_its_turn() -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app, body_seconds=0.1) as port, Caller(port) as caller:
        await caller.say(GET + POST)
        await passed(0.2)
        app.may_answer.set()
        assert statuses(await caller.rest()) == [200, 408]


async def test_a_body_is_received_only_as_the_application_reads_it() -> None:
    may_read, read = asyncio.Event(), 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal read
        await may_read.wait()
        while (message := await receive()).get("more_body"):
            read += len(message["body"])
        await ok(scope, receive, send)

    async with serving(slow) as port, Caller(port) as caller:
        await caller.say(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        sending = asyncio.create_task(caller.say(*[b"x" * 1_000_000] * 50))
        await passed(0.2)
        assert not sending.done()  # the kernel's buffers hold some of it, and the server little
        may_read.set()
        await caller.ok()
        await sending
    assert read > 49_000_000


# --- connections ----------------------------------------------------------------------------------------------------


async def test_too_many_connections_get_503_and_earlier_ones_are_served() -> None:
    async with serving(most=2) as port, Caller(port) as first:
        async with Caller(port) as second:
            for caller in (first, second, first, second):
                await caller.say(GET)
                await caller.ok()
                turned_away = await said(port, GET)
                assert statuses(turned_away) == [503]
                assert b"\r\nretry-after: 1\r\n" in turned_away
                assert b"\r\nconnection: close\r\n" in turned_away

        async def served() -> bool:
            return statuses(await said(port, LAST)) == [200]

        await until(served)  # whose place is free again


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + UPGRADE, GET, LAST], ids=["nothing", "half", "upgrade", "idle", "ended"]
)
async def test_a_connection_without_a_request_makes_room_for_a_new_one(sent: bytes) -> None:
    async with serving(most=2, evict_after=0.05) as port, Caller(port) as first:
        await first.say(sent)
        if sent in {GET, LAST}:
            await first.ok()
        async with Caller(port) as second:
            await second.say(HEAD)
            await passed(0.1)
            for _ in range(3):
                assert statuses(await said(port, LAST)) == [200]
            assert await first.rest() == b""


async def test_a_connection_with_a_request_makes_no_room() -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app, most=1, evict_after=0.0) as port, Caller(port) as first:
        await first.say(GET)
        await app.called.wait()
        assert statuses(await said(port, GET)) == [503]
        app.may_answer.set()
        await first.ok()


async def test_the_shutdown_answers_what_was_asked_and_closes_the_rest() -> None:
    app = Reader()
    app.may_answer.clear()
    async with contextlib.AsyncExitStack() as server:
        port = await server.enter_async_context(serving(app))
        async with Caller(port) as busy, Caller(port) as idle, Caller(port) as half:
            await half.say(HEAD)
            await busy.say(GET)
            await app.called.wait()
            stopping = asyncio.create_task(server.aclose())
            assert await idle.rest() == b""
            assert await half.rest() == b""
            app.may_answer.set()
            assert statuses(await busy.rest()) == [200]
        await stopping


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
