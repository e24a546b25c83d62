"""Requests as clients, proxies and attackers send them: each gets one response, and its own body."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.receiver.callers import Caller, Reader, said, serving, statuses
from tests.receiver.harness import until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(body: bytes, *fields: bytes, path: bytes = b"/", version: bytes = b"1.1") -> bytes:
    line = b"POST %b HTTP/%b" % (path, version)
    return b"\r\n".join([line, b"Host: x", b"Content-Length: %d" % len(body), *fields, b"", body])


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client makes us log an error, or a line for each request."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def exchanged(*parts: bytes, half_close: bool = False) -> tuple[Reader, bytes]:
    """Send the parts to an application that reads bodies. Returns it, and what the client received."""
    app = Reader()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(*parts)
        if half_close:
            caller.half_close()
        return app, await caller.rest()


# --- one after another ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packets", [1, 2, 1000], ids=["one packet", "two packets", "byte by byte"])
async def test_pipelined_requests_are_answered_in_order_with_their_own_bodies(packets: int) -> None:
    sent = post(b"one", path=b"/1") + GET + post(GET, path=b"/2") + b"\r\n" + post(b"", path=b"/3") + LAST
    size = len(sent) // packets + 1
    app, received = await exchanged(*[sent[at : at + size] for at in range(0, len(sent), size)])
    assert app.requests == [("/1", b"one"), ("/", b""), ("/2", GET), ("/3", b""), ("/last", b"")]
    assert statuses(received) == [200] * 5


async def test_a_request_is_not_begun_before_the_response_to_the_one_before() -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(post(b"one", path=b"/1") + post(b"two", path=b"/2"))
        await until(lambda: app.requests == [("/1", b"one")])
        app.may_answer.set()
        await caller.ok()
        await until(lambda: app.requests == [("/1", b"one"), ("/2", b"two")])


async def test_what_follows_a_last_request_is_no_request() -> None:
    app, received = await exchanged(LAST + post(b"x"))
    assert app.requests == [("/last", b"")]
    assert statuses(received) == [200]


async def test_a_client_that_resets_while_its_request_is_answered_disconnects_the_application() -> None:
    left: list[Message] = []

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        left.append(await receive())
        left.append(await receive())
        await send({"type": "http.response.body", "body": b"not sent"})

    async with serving(wait) as port:
        async with Caller(port) as caller:
            await caller.say(GET)
            await until(lambda: len(left) == 1)
            caller.reset()
        await until(lambda: len(left) == 2)
    assert left[1] == {"type": "http.disconnect"}


# --- Upgrade, Expect, half-close, versions --------------------------------------------------------------------------

JDK = [
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
]
WEB_SOCKET = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]


@pytest.mark.parametrize("fields", [JDK, WEB_SOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("split", [False, True], ids=["one packet", "body in a packet of its own"])
async def test_an_upgrade_is_ignored_and_the_body_belongs_to_its_request(fields: list[bytes], split: bool) -> None:
    smuggled = post(b"evil", path=b"/evil")
    sent = post(smuggled, *fields, path=b"/1")
    at = len(sent) - len(smuggled)
    app, received = await exchanged(*([sent[:at], sent[at:]] if split else [sent]), LAST)
    assert app.requests == [("/1", smuggled), ("/last", b"")]
    assert statuses(received) == [200, 200]


async def test_a_chunked_body_of_an_upgrade_belongs_to_its_request() -> None:
    fields = b"\r\n".join([b"Transfer-Encoding: chunked", *JDK])
    app, _ = await exchanged(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", LAST)
    assert app.requests == [("/", b"abc"), ("/last", b"")]


async def test_continue_is_sent_when_the_application_reads_the_body() -> None:
    app = Reader()
    async with serving(app) as port, Caller(port) as caller:
        sent = post(b"body", b"Expect: 100-continue", b"Connection: close")
        await caller.say(sent[:-4])
        assert await caller.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.say(sent[-4:])
        assert statuses(await caller.rest()) == [200]
    assert app.requests == [("/", b"body")]


async def test_continue_is_not_sent_when_the_body_is_there_or_not_wanted() -> None:
    _, received = await exchanged(post(b"body", b"Expect: 100-continue", b"Connection: close"))
    assert statuses(received) == [200]
    async with serving() as port:  # an application that does not read the body
        received = await said(port, post(b"body", b"Expect: 100-continue")[:-4])
    assert statuses(received) == [200]
    assert b"\r\nconnection: close\r\n" in received  # whether the body will come is not known


async def test_a_client_that_half_closes_gets_every_response() -> None:
    app, received = await exchanged(post(b"one", path=b"/1") + post(b"two", path=b"/2"), half_close=True)
    assert app.requests == [("/1", b"one"), ("/2", b"two")]
    assert statuses(received) == [200, 200]


async def test_a_client_that_half_closes_gets_a_response_that_takes_time() -> None:
    app = Reader()
    app.may_answer.clear()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(post(b"one"))
        caller.half_close()
        await until(lambda: app.requests == [("/", b"one")])
        app.may_answer.set()
        assert statuses(await caller.rest()) == [200]


async def test_a_body_that_ends_too_early_is_cut_short_and_may_be_answered() -> None:
    app = Reader()
    async with serving(app) as port, Caller(port) as caller:
        await caller.say(post(b"body")[:-1])
        caller.half_close()
        assert statuses(await caller.rest()) == [200]
    assert app.messages[-1] == {"type": "http.disconnect"}
    assert app.requests == []


@pytest.mark.parametrize("sent", [b"", b"GE", GET[:-1]])
async def test_half_a_head_is_no_request(sent: bytes) -> None:
    app, received = await exchanged(sent, half_close=True)
    assert (app.messages, received) == ([], b"")


async def test_http_1_0_gets_a_response_that_ends_with_the_connection() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with serving(stream) as port:
        received = await said(port, b"GET / HTTP/1.0\r\n\r\n")
        chunked = await said(port, LAST)
    assert b"transfer-encoding" not in received
    assert received.endswith(b"\r\nconnection: close\r\n\r\none two")
    assert chunked.endswith(b"\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_an_http_1_0_request_has_its_body() -> None:
    app, received = await exchanged(post(b"body", version=b"1.0"))
    assert app.requests == [("/", b"body")]
    assert statuses(received) == [200]


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_responses_without_a_body_leave_the_connection_usable(method: bytes, status: int) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        of_last = scope["path"] == "/last"
        await send({"type": "http.response.start", "status": 200 if of_last else status, "headers": []})
        await send({"type": "http.response.body", "body": b"last" if of_last else b"nothing"})

    async with serving(answer) as port:
        received = await said(port, GET.replace(b"GET", method) + LAST)
    assert statuses(received) == [status, 200]
    assert b"nothing" not in received


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"x" * 70_000, 414),
        (GET[:-2] + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (GET[:-2] + b"X: " + b"y" * 70_000, 431),
        (GET[:-2] + b"X: y\r\n" * 20_000, 431),
        (GET[:-2] + b"a:\r\n" * 2500 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + GET, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + GET, 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n" + GET, 400),
        (b"\r\n" * 40_000 + GET, 400),
    ],
)
async def test_what_is_malformed_gets_one_problem_document_and_the_end(sent: bytes, status: int) -> None:
    app, received = await exchanged(sent, GET * 100)
    head, _, body = received.partition(b"\r\n\r\n")
    assert statuses(received) == [status]
    assert b"\r\ncontent-type: application/problem+json" in head
    assert b"\r\nconnection: close" in head
    assert msgspec.json.decode(body)["status"] == status
    assert app.requests == []


async def test_a_malformed_body_disconnects_the_application() -> None:
    app, received = await exchanged(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"x\r\n"
    )
    assert statuses(received) == [400]
    assert b"a".startswith(app.bodies)
    assert app.messages[-1] == {"type": "http.disconnect"}


@pytest.mark.parametrize("blank", [b"\r\n", b"\r\n\r\n\r\n"])
async def test_empty_lines_before_a_request_are_skipped(blank: bytes) -> None:
    app, _ = await exchanged(blank + GET, blank[:1], blank[1:] + LAST)
    assert [path for path, _ in app.requests] == ["/", "/last"]


# --- responses before the body --------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"Content-Length: 8000000", b"Transfer-Encoding: chunked"])
async def test_a_response_before_a_large_body_arrives_although_the_client_sends_all_of_it(framing: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n"
    async with serving() as port, Caller(port) as caller:
        body = [b"7d000\r\n" + b"x" * 512_000 + b"\r\n"] * 16
        assert await caller.sent(head, *body)  # nothing resets the connection
        received = await caller.rest()
    assert statuses(received) == [200]
    assert b"\r\nconnection: close\r\n" in received


async def test_an_endless_body_that_was_refused_is_read_for_a_while_only() -> None:
    async with serving(linger_bytes=1_000_000) as port, Caller(port) as caller:
        await caller.say(post(b"")[:-2].replace(b"Length: 0", b"Length: 99999999999") + b"\r\n")
        assert statuses(await caller.ok()) == [200]
        assert not await caller.sent(*[b"x" * 100_000] * 500)


@pytest.mark.parametrize("limit", ["linger_seconds", "linger_idle_seconds"])
async def test_a_connection_that_the_client_does_not_close_is_closed_after_a_while(limit: str) -> None:
    limits: dict[str, Any] = {limit: 0.1}
    async with serving(**limits) as port, Caller(port) as caller:
        await caller.say(LAST)
        await caller.rest()
        async with asyncio.timeout(5):
            while await caller.sent(b"x"):
                if limit == "linger_idle_seconds":
                    await caller.quiet(0.2)


async def test_a_small_body_that_was_not_read_leaves_the_connection_usable() -> None:
    async with serving() as port:
        received = await said(port, post(GET) + LAST)
    assert statuses(received) == [200, 200]
