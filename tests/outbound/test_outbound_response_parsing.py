"""The parser of responses: h11 reads the same from what is valid, and no bytes make it raise anything unexpected."""

import itertools
from collections.abc import Iterator

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from outbound.response_bodies import body_of
from outbound.response_heads import Head, HeadLimits, HeadReader, MalformedHead

LIMITS = HeadLimits(max_bytes=100_000, max_fields=200)
unhurried = settings(deadline=None)  # a busy machine is not a failure

TOKENS = st.text("abcXYZ-_09", min_size=1, max_size=12).map(lambda text: f"X-{text}".encode())
VALUES = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if 0x21 <= byte <= 0x7E))
BODIES = st.binary(max_size=300)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A valid response: interim responses, fields, and a body of a length, in chunks, or to the end."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * draw(st.integers(0, 3))
    status = draw(st.sampled_from([200, 201, 204, 304, 404, 422, 503]))
    fields = draw(st.lists(st.tuples(TOKENS, VALUES), max_size=6))
    body = b"" if status in (204, 304) else draw(BODIES)
    framing = draw(st.sampled_from(["length", "chunks", "close"]))
    if status in (204, 304):
        framing = "close"
    if framing == "length":
        fields.append((b"Content-Length", str(len(body)).encode()))
    if framing == "chunks":
        fields.append((b"Transfer-Encoding", b"chunked"))
        sizes = draw(st.lists(st.integers(1, 50), max_size=20))
        body = b"".join(chunks(body, sizes)) + b"0\r\n\r\n"
    head = b"HTTP/1.1 %d Some Words\r\n" % status + b"".join(b"%s: %s\r\n" % field for field in fields)
    return interim + head + b"\r\n" + body


def chunks(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in [*sizes, len(body)]:
        part, body = body[:size], body[size:]
        if part:
            yield b"%x;name=value\r\n%s\r\n" % (len(part), part)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds) if end > start]


def ours(parts: list[bytes]) -> tuple[Head | None, bytes, str | None]:
    """Read a response that comes in parts and then ends."""
    reader, waiting = HeadReader(LIMITS), list(parts)
    head = None
    while waiting and head is None:
        head = reader.feed(waiting.pop(0))
    if head is None:
        return None, b"", None
    body, found = body_of(head), b""
    for part in [reader.rest, *waiting]:
        if body.done or body.fault:
            break
        found += body.feed(part)
    if not body.done and not body.fault:
        body.end()
    return head, found, body.fault


def by_h11(data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    status, headers, body = 0, [], b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert not isinstance(event, h11.ConnectionClosed)
        if isinstance(event, h11.Response):
            status, headers = event.status_code, list(event.headers.raw_items())
        if isinstance(event, h11.Data):
            body += bytes(event.data)
    return status, headers, body


@unhurried
@given(responses(), st.lists(st.integers(0, 10_000), max_size=8))
def test_valid_responses_are_read_as_h11_reads_them_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    head, body, fault = ours(pieces(data, cuts))
    assert head is not None
    assert fault is None
    status, headers, expected = by_h11(data)
    assert (head.status, list(head.fields), body) == (status, headers, expected)


@unhurried
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_arbitrary_bytes_after_a_status_line_are_read_or_refused(data: bytes, cuts: list[int]) -> None:
    whole = b"HTTP/1.1 200 OK\r\n" + data
    results: list[object] = []
    for parts in (pieces(whole, cuts), [whole]):
        try:
            results.append(ours(parts))
        except MalformedHead as error:
            results.append(str(error))
    assert results[0] == results[1]


@unhurried
@given(st.binary(max_size=400))
def test_arbitrary_bytes_in_chunks_lose_no_data_before_the_fault(data: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    _, body, _ = ours([head + data])
    assert body.startswith(b"hello")
