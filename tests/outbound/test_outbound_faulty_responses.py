"""Responses that break the rules of HTTP: what was read of them is used, and a message says what cannot be."""

import pytest

from providers.http import Request, Response, Unread
from tests.outbound.loopback import result_of
from tests.outbound.raw_server import Speak, raw_server, says
from tests.submitter.conftest import Opening

OK = b"HTTP/1.1 200 OK\r\n"
JSON = b'{"request_id": "r"}'
LENGTH = b"Content-Length: %d\r\n" % len(JSON)
CHUNK = b"%x\r\n%s\r\n" % (len(JSON), JSON)

READ_WHOLE = {
    "a field of 9 kB": OK + b"X-Policy: " + b"a" * 9_000 + b"\r\n" + LENGTH + b"\r\n" + JSON,
    "a field of 64 KiB": OK + b"X-Policy: " + b"a" * 65_536 + b"\r\n" + LENGTH + b"\r\n" + JSON,
    "130 fields": OK + b"X-Field: a\r\n" * 130 + LENGTH + b"\r\n" + JSON,
    "500 fields": OK + b"X-Field: a\r\n" * 500 + LENGTH + b"\r\n" + JSON,
    "a Latin-1 reason phrase": b"HTTP/1.1 200 Tr\xe8s bien\r\n" + LENGTH + b"\r\n" + JSON,
    "a reason phrase of arbitrary bytes": b"HTTP/1.1 200 \x00\x01\x7f\xff\r\n" + LENGTH + b"\r\n" + JSON,
    "no reason phrase": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + JSON,
    "two equal lengths": OK + LENGTH + LENGTH + b"\r\n" + JSON,
    "two equal lengths in one field": OK + b"Content-Length: 19, 19\r\n\r\n" + JSON,
    "two different lengths": OK + LENGTH + b"Content-Length: 5\r\n\r\n" + JSON,
    "a length beside chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n\r\n",
    "a body shorter than declared": OK + b"Content-Length: 100\r\n\r\n" + JSON,
    "a body longer than declared": OK + LENGTH + b"\r\n" + JSON + b"HTTP/1.1 500 No\r\n\r\n",
    "a last chunk without its end": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\n",
    "a last chunk with an end that is none": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"0\r\nX\x00Y",
    "no last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "a last chunk whose size is no number": OK + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK + b"zero\r\n\r\n",
    "neither length nor chunks": OK + b"\r\n" + JSON,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + JSON,
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 19\n\n" + JSON,
    "a folded field": OK + b"X-Long: a\r\n b\r\n" + LENGTH + b"\r\n" + JSON,
    "a line without a colon": OK + b"no colon\r\n" + LENGTH + b"\r\n" + JSON,
    "white space before a colon": OK + b"Content-Length : 19\r\n\r\n" + JSON,
    "a NUL in a field": OK + b"X-Odd: a\x00b\r\n" + LENGTH + b"\r\n" + JSON,
    "bytes in a field that are no text": OK + b"X-Odd: \xff\xfe\r\n" + LENGTH + b"\r\n" + JSON,
    "blank lines before it": b"\r\n\r\n" + OK + LENGTH + b"\r\n" + JSON,
    "a few interim responses": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5 + OK + LENGTH + b"\r\n" + JSON,
}


def post(url: str) -> Request:
    return Request(method="POST", url=f"{url}/a", headers={}, body=b"{}")


@pytest.mark.parametrize("response", READ_WHOLE.values(), ids=READ_WHOLE.keys())
async def test_a_faulty_response_with_a_complete_body_is_read(response: bytes, opening: Opening) -> None:
    with raw_server(says(response)) as there:
        got = await opening(keep_alive=False)(post(there.url))
    assert (got.status, got.json) == (200, {"request_id": "r"})


async def test_a_204_with_a_body_is_a_204(opening: Opening) -> None:
    with raw_server(says(b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}")) as there:
        send = opening()
        for _ in range(3):  # the body is not read as the next response
            assert (await send(post(there.url))).status == 204
        assert len(there.heads) == 3


BROKEN_BODIES = {
    "cut": b"Content-Length: 100\r\n\r\n" + JSON[:-1],
    "a chunk cut": b"Transfer-Encoding: chunked\r\n\r\n63\r\n" + JSON[:-1],
    "a chunk that is longer": b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + JSON + b"\r\n",
    "no gzip": b"Content-Encoding: gzip\r\nContent-Length: 19\r\n\r\n" + JSON,
    "too long": b"Content-Length: 70000\r\n\r\n" + b"a" * 70_000,
}


@pytest.mark.parametrize("rest", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
async def test_an_error_is_known_by_its_status_whatever_its_body_is(rest: bytes, opening: Opening) -> None:
    with raw_server(says(b"HTTP/1.1 422 No\r\nX-Fal-Request-Id: r\r\n" + rest)) as there:
        got = await opening()(post(there.url))
    assert (got.status, got.headers["x-fal-request-id"]) == (422, "r")


@pytest.mark.parametrize("rest", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
async def test_a_2xx_with_a_broken_body_is_unread(rest: bytes, opening: Opening) -> None:
    with raw_server(says(OK + rest)) as there:
        assert isinstance(await result_of(opening()(post(there.url))), Unread)


@pytest.mark.parametrize("rest", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
@pytest.mark.parametrize("status", [200, 410, 503])
async def test_the_status_line_suffices_a_delivery(status: int, rest: bytes, opening: Opening) -> None:
    with raw_server(says(b"HTTP/1.1 %d Word\r\nRetry-After: 7\r\n" % status + rest)) as there:
        got = await opening(status_suffices=True, max_bytes=2048)(post(there.url))
    assert (got.status, got.headers["retry-after"]) == (status, "7")


STATUS_LINES = {
    "endless fields": OK + b"X-Long: " + b"a" * 600_000,
    "too many fields": OK + b"a:\r\n" * 3_000 + b"\r\n",
    "a head that is cut": OK + b"Content-Len",
}


@pytest.mark.parametrize("response", STATUS_LINES.values(), ids=STATUS_LINES.keys())
async def test_the_status_line_suffices_a_delivery_whatever_follows_it(response: bytes, opening: Opening) -> None:
    with raw_server(says(response)) as there:
        assert (await opening(status_suffices=True)(post(there.url))).status == 200
        assert type(await result_of(opening()(post(there.url)))) is Unread


MESSAGES = {
    "524288 bytes": says(OK + b"X-Long: " + b"a" * 600_000),
    "2000 header fields": says(OK + b"a: b\r\n" * 3_000 + b"\r\n"),
    "16 interim responses": says(b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
    "longer than 65536 bytes": says(OK + b"Content-Length: 70000\r\n\r\n" + b"a" * 70_000),
    "ended after 18 of 100 bytes": says(OK + BROKEN_BODIES["cut"]),
    "before its last chunk": says(OK + BROKEN_BODIES["a chunk cut"]),
    "a chunk is longer than its size": says(OK + BROKEN_BODIES["a chunk that is longer"]),
    "does not speak HTTP/1": says(b"SSH-2.0-OpenSSH\r\n"),
    "closed the connection before its response was complete": says(b""),
}


@pytest.mark.parametrize("words", MESSAGES.keys())
async def test_the_message_says_which_limit_or_fault_it_was(words: str, opening: Opening) -> None:
    with raw_server(MESSAGES[words]) as there:
        error = await result_of(opening()(post(there.url)))
    assert isinstance(error, Unread)
    assert words in str(error)


SPOKEN: list[Speak] = [says(OK + LENGTH + b"\r\n" + JSON)]


@pytest.mark.parametrize("target", ["/a%2Fb?x=%7Ey&z=%3A", "/a/../b", "/a/./b//c", "/?a=b+c%20d", "?q=1", "/%zz?{}|^"])
async def test_the_request_line_is_what_the_user_wrote(target: str, opening: Opening) -> None:
    with raw_server(SPOKEN[0]) as there:
        await opening()(Request(method="POST", url=f"{there.url}{target}#fragment", headers={}, body=b"{}"))
        line = there.heads[0].split(b"\r\n")[0].decode()
    assert line == f"POST {target if target.startswith('/') else '/' + target} HTTP/1.1"


async def test_a_url_without_a_path_asks_for_the_root(opening: Opening) -> None:
    with raw_server(SPOKEN[0]) as there:
        assert isinstance(await opening()(Request(method="POST", url=there.url, headers={})), Response)
        assert there.heads[0].startswith(b"POST / HTTP/1.1\r\n")
