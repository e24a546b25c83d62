"""Our reading of requests beside that of h11: no difference, but for those that are argued here.

Streams that resemble requests go through sockets to a server of ours, in random packets, and to h11. Both say which
requests they found, with which headers and bodies, and whether the rest was refused.
"""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections import Counter
from urllib.parse import urlsplit

import h11
import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from tests.chaos.request_streams import make_stream, packets
from tests.receiver.callers import Caller, serving

SECONDS = 30.0
AT_ONCE = 50
MOST_FAULTS = 20

STRICTER = {
    "a line of the request's head": "h11 takes LF for a line's end, and control characters in values",
    "a header is a name of at most 256": "h11 takes a line that begins with a space for the end of the one before",
    "the server does not know the method": "h11 leaves methods to the application",
    "the version of HTTP is neither": "h11 leaves versions to the application",
    "the request has not exactly one Host header": "h11 wants one of HTTP/1.1, and of HTTP/1.2 none",
    "the target is neither a path": "h11 leaves targets to the application",
    "the request has a Content-Length and a Transfer-Encoding": "RFC 9112 6.1 allows either; it is how to smuggle",
    "an HTTP/1.0 request has a Transfer-Encoding": "RFC 9112 6.1: its framing is faulty; h11 reads the chunks",
    "the Content-Length has more than": "h11 allows 20 digits",
    "the size of a chunk is not": "h11 takes LF for a line's end, and allows 20 digits",
    "a line of the chunked body is longer": "h11 allows 64 KiB of extensions",
}
"""What we refuse and h11 reads, by the beginning of our reason."""

MORE_LENIENT = {
    "no request line received": "RFC 9112 2.2: empty lines before a request are ignored",
    "illegal request line": "the same, at the end of the stream",
    "peer unexpectedly closed connection": "half a head is no request, and needs no response",
    "peer closed connection without sending complete message body": "the application may answer a part",
    "illegal chunk header": "RFC 9112 7.1.1: white space before an extension is read",
}
"""What we read and h11 refuses, by the beginning of its reason."""


class Request(msgspec.Struct, frozen=True):
    """A request as one of the readers found it."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Reading(msgspec.Struct, frozen=True):
    """The requests that were found whole, and why the rest was refused: empty if it was not."""

    requests: list[Request]
    refused: str


class Recorder:
    """An application that keeps what it reads, by the port of the client."""

    def __init__(self) -> None:
        self.found: dict[int, list[Request]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message["body"]
            more = message["more_body"]
        else:
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            request = Request(scope["method"].encode(), scope["raw_path"] + query, tuple(scope["headers"]), body)
            self.found[scope["client"][1]].append(request)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


async def our_reading(recorder: Recorder, port: int, sent: list[bytes]) -> Reading:
    async with Caller(port) as caller:
        found = recorder.found[caller.port] = []
        await caller.say(*sent)
        with contextlib.suppress(OSError):
            caller.half_close()
        received = await caller.rest()
    del recorder.found[caller.port]
    heads = [part for part in received.split(b"HTTP/1.1 ")[1:] if not part.startswith(b"100 ")]
    refusals = [part for part in heads if part[:1] in {b"4", b"5"}]
    assert heads[len(heads) - len(refusals) :] == refusals, received  # at most the last
    assert len(refusals) <= 1, received
    assert len(found) <= len(heads), received
    detail = msgspec.json.decode(refusals[0].partition(b"\r\n\r\n")[2])["detail"] if refusals else ""
    return Reading(found, detail)


def reading_of_h11(stream: bytes) -> Reading:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65_536)
    connection.receive_data(stream)
    connection.receive_data(b"")
    found: list[Request] = []
    head, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                headers = tuple((bytes(name), bytes(value)) for name, value in head.headers)
                found.append(Request(bytes(head.method), bytes(head.target), headers, body))
                connection.send(
                    h11.Response(status_code=404, headers=[("content-length", "0")])
                )  # 200 would accept CONNECT
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return Reading(found, "")
                connection.start_next_cycle()
            else:
                return Reading(found, "")
    except h11.RemoteProtocolError as error:
        return Reading(found, str(error))


def as_an_application_gets_it(request: Request) -> Request:
    """Return a request without what is only written differently."""
    path, _, query = request.target.partition(b"#")[0].partition(b"?")
    headers = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in request.headers]
    if path.lower().startswith(b"http"):  # RFC 9112 3.2.2: the host of an absolute target is the request's
        parts = urlsplit(path)
        path = parts.path or b"/"
        headers = [(b"host", parts.netloc), *(header for header in headers if header[0] != b"host")]
    return Request(request.method, path + (b"?" + query if query else b""), tuple(sorted(headers)), request.body)


def difference(ours: Reading, theirs: Reading) -> str:
    """Return the first difference of two readings; nothing if there is none."""
    pairs = zip(
        map(as_an_application_gets_it, ours.requests), map(as_an_application_gets_it, theirs.requests), strict=False
    )
    for mine, other in pairs:
        for name in ("method", "target", "headers", "body"):
            if getattr(mine, name) != getattr(other, name):
                return f"{name}: {getattr(mine, name)!r} and h11 {getattr(other, name)!r}"
    surplus = len(ours.requests) - len(theirs.requests)
    if surplus < 0 or (surplus == 0 and ours.refused and not theirs.refused):
        return f"refused: {ours.refused}" if ours.refused else "not found, and not refused"
    if surplus > 0 or (theirs.refused and not ours.refused):
        return f"refused by h11: {theirs.refused}" if theirs.refused else "not found by h11, and not refused"
    return ""


def reason(found: str) -> str | None:
    """Return why a difference is right, if that is argued above."""
    refused, _, text = found.partition(": ")
    argued = {"refused": STRICTER, "refused by h11": MORE_LENIENT}.get(refused, {})
    return next((why for beginning, why in argued.items() if text.startswith(beginning)), None)


async def compare(seed: int, port: int, recorder: Recorder) -> tuple[int, bytes, str]:
    """Read one stream with both. Returns its seed, the stream, and the difference."""
    dice = random.Random(seed)
    stream = make_stream(dice)
    ours = await our_reading(recorder, port, packets(dice, stream))
    return seed, stream, difference(ours, reading_of_h11(stream))


@pytest.mark.chaos
@pytest.mark.timeout(120)
async def test_requests_are_read_as_h11_reads_them_or_as_is_argued(capsys: pytest.CaptureFixture[str]) -> None:
    first = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1 << 32))
    recorder, counts, faults = Recorder(), Counter[str](), list[str]()
    began, seed = time.monotonic(), first
    async with serving(recorder) as port:
        while time.monotonic() - began < SECONDS and len(faults) < MOST_FAULTS:
            for case, stream, found in await asyncio.gather(
                *(compare(number, port, recorder) for number in range(seed, seed + AT_ONCE))
            ):
                argued = reason(found)
                counts[f"differs: {argued}" if argued else "differs without a reason" if found else "is the same"] += 1
                if found and not argued:
                    faults.append(f"CHAOS_SEED={case}: {found}\n  {stream[:2000]!r}")
            seed += AT_ONCE
    with capsys.disabled():
        lines = [f"{count:8} {what}" for what, count in counts.most_common()]
        print(f"\nCHAOS_SEED={first}: streams that both read", *lines, sep="\n")  # noqa: T201 - to run the same again
    assert faults == [], "\n".join(faults)
