"""Servers that send without end: the event loop is never held, and memory and time are bounded."""

import asyncio
import gzip
import socket
import threading
import tracemalloc

import pytest

from providers.http import NeverSent, Request, Response, Unread
from tests.loop_monitor import loop_never_held
from tests.outbound.loopback import result_of
from tests.outbound.raw_server import Speak, raw_server, repeats, says
from tests.submitter.conftest import Opening

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZEROS = gzip.compress(b"\0" * 100_000_000)
LARGE = 4_000_000

FLOODS: dict[str, Speak] = {
    "100 Continue": repeats(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    "103 Early Hints": repeats(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 5_000),
    "blank lines": repeats(b"\r\n" * 50_000),
    "header fields": repeats(b"a: b\r\n" * 20_000, OK),
    "one field": repeats(b"a" * 100_000, OK + b"X-Long: "),
    "a folded field": repeats(b" a\r\n" * 20_000, OK + b"X-Long: a\r\n"),
    "a long field folded often": says(OK + b"X-Long: " + b"a" * 250_000 + b"\r\n b" * 60_000 + b"\r\n\r\n"),
    "chunks of one byte": repeats(b"1\r\na\r\n" * 20_000, CHUNKED),
    "extensions of chunks": repeats(b"1;" + b"e" * 4_000 + b"\r\na\r\n", CHUNKED),
    "a body without end": repeats(b"a" * 100_000, OK + b"\r\n"),
    "a gigabyte after the gzip": repeats(
        b"\0" * 100_000, OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"a": 1}')
    ),
    "empty gzip files": repeats(gzip.compress(b"") * 5_000, OK + b"Content-Encoding: gzip\r\n\r\n"),
    "a gzip of zeros": says(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZEROS) + ZEROS),
}


def post(url: str, body: bytes = b"{}") -> Request:
    return Request(method="POST", url=f"{url}/a", headers={}, body=body)


@pytest.mark.parametrize("status_suffices", [False, True])
@pytest.mark.parametrize("name", FLOODS.keys())
async def test_a_flood_ends_the_exchange_and_never_holds_the_event_loop(
    name: str, status_suffices: bool, opening: Opening
) -> None:
    limit = 2048 if status_suffices else LARGE
    with raw_server(FLOODS[name]) as there:
        send = opening(status_suffices=status_suffices, max_bytes=limit, seconds=1.0)
        async with loop_never_held():
            assert isinstance(await result_of(send(post(there.url))), Unread | Response)


@pytest.mark.parametrize("name", FLOODS.keys())
async def test_a_flood_takes_little_memory(name: str, opening: Opening) -> None:
    with raw_server(FLOODS[name]) as there:
        send = opening(max_bytes=LARGE, seconds=1.0)
        tracemalloc.start()
        try:
            await result_of(send(post(there.url)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 3 * LARGE


async def test_what_follows_the_compressed_response_is_not_read(opening: Opening) -> None:
    with raw_server(FLOODS["a gigabyte after the gzip"]) as there:
        assert (await opening()(post(there.url))).body == b'{"a": 1}'


async def test_gzip_files_one_after_the_other_are_one_response(opening: Opening) -> None:
    body = gzip.compress(b'{"a"') + gzip.compress(b": 1}") + b"\0\0\0"
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with raw_server(says(head, *(body[at : at + 1] for at in range(len(body))))) as there:
        assert (await opening()(post(there.url))).body == b'{"a": 1}'


async def test_a_long_body_waits_in_one_copy_for_a_server_that_does_not_read(opening: Opening) -> None:
    """What the system does not take is not copied: ten requests with one body of 20 MB cost less than one copy more."""

    over = threading.Event()
    body = b"a" * 20_000_000

    def wait(_: socket.socket) -> None:
        over.wait(10)

    with raw_server(wait) as there:
        send = opening(seconds=0.5, connections=10)
        tracemalloc.start()
        try:
            ended = await asyncio.gather(*(result_of(send(post(there.url, body))) for _ in range(10)))
            _, peak = tracemalloc.get_traced_memory()
            over.set()
        finally:
            tracemalloc.stop()
    assert {type(each) for each in ended} == {Unread}
    assert peak < 20_000_000


async def test_a_response_before_the_request_is_read_whole_is_read(opening: Opening) -> None:
    answered = threading.Event()

    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        answered.wait(10)

    with raw_server(refuse) as there:
        send = opening()
        for _ in range(2):
            assert (await send(post(there.url, b"a" * 20_000_000))).status == 413  # more than the kernel's buffers hold
        assert len(there.heads) == 2  # a connection that still sends is not used again
        answered.set()


async def test_a_connection_refused_to_a_long_request_was_never_sent(opening: Opening) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        assert type(await result_of(opening()(post(url, b"a" * 1_000_000)))) is NeverSent
