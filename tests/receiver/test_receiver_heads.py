"""What the head of a request says, and which heads are refused."""

import pytest

from receiver.http.heads import LONGEST_HEAD, Head, read_head
from receiver.web.problems import Problem


def head(*fields: bytes, line: bytes = b"POST /a HTTP/1.1", host: bytes | None = b"Host: x") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


def read(*fields: bytes, **options: bytes | None) -> Head:
    return read_head(head(*fields, **options))  # type: ignore[arg-type]


def refused(*fields: bytes, **options: bytes | None) -> int:
    with pytest.raises(Problem) as caught:
        read(*fields, **options)
    return caught.value.status


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [b"", b" ", b"\t", b" \t  "])
@pytest.mark.parametrize("after", [b"", b" ", b"\t", b" \t "])
def test_white_space_around_a_value_is_no_part_of_it(space: bytes, after: bytes) -> None:
    found = read(b"Idempotency-Key:" + space + b"order 1" + after, b"Content-Length:" + space + b"7" + after)
    assert (b"idempotency-key", b"order 1") in found.headers
    assert found.length == 7


def test_names_are_in_lower_case_and_values_are_bytes_as_sent() -> None:
    found = read(b"X-Name: Caf\xc3\xa9 \xff", b"Empty:", b"X-Name: again")
    assert found.headers == [
        (b"host", b"x"),
        (b"x-name", b"Caf\xc3\xa9 \xff"),
        (b"empty", b""),
        (b"x-name", b"again"),
    ]


@pytest.mark.parametrize(
    "field",
    [
        b"no colon",
        b"nocolon",
        b": no name",
        b"Name : x",
        b" Name: x",
        b"\tfolded",
        b"Na\xc3\xafve: x",
        b"Na(me: x",
        b"Name: a\x00b",
        b"Name: a\x01b",
        b"Name: a\x7fb",
        b"Name: a\rb",
        b"Name: a\nOther: b",
        b"x" * 257 + b": y",
    ],
)
def test_a_malformed_header_is_refused(field: bytes) -> None:
    assert refused(field) == 400


def test_long_headers_are_refused_and_shorter_ones_are_read() -> None:
    assert refused(b"X: " + b"y" * LONGEST_HEAD) == 431
    assert refused(*[b"a:"] * 2000) == 431
    assert refused(line=b"GET /" + b"x" * LONGEST_HEAD + b" HTTP/1.1") == 414
    assert len(read(*[b"a:"] * 1500).headers) == 1501
    assert len(read(b"X: " + b"y" * 60_000).headers) == 2


# --- the request line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", "/", b"", b"x"),
        (b"/a%20b?c=%20d?", "/a b", b"c=%20d?", b"x"),
        (b"/a#fragment", "/a", b"", b"x"),
        (b"/a?b#c", "/a", b"b", b"x"),
        (b"//a", "//a", b"", b"x"),
        (b"http://other:81/a?b", "/a", b"b", b"other:81"),
        (b"HTTPS://other", "/", b"", b"other"),
        (b"http://other?a", "/", b"a", b"other"),
        (b"http://user@other/", "/", b"", b"user@other"),
    ],
)
def test_targets(target: bytes, path: str, query: bytes, host: bytes) -> None:
    found = read(line=b"GET " + target + b" HTTP/1.1")
    assert (found.path, found.query) == (path, query)
    assert found.headers == [(b"host", host)]


def test_options_of_the_server_has_a_target_of_its_own() -> None:
    assert read(line=b"OPTIONS * HTTP/1.1").path == "*"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"BREW /pot HTTP/1.1", 501),
        (b"get / HTTP/1.1", 501),
        (b"CONNECT example.com:443 HTTP/1.1", 501),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET ftp://x/a HTTP/1.1", 400),
        (b"", 400),
    ],
)
def test_a_request_line_that_is_not_understood_is_refused(line: bytes, status: int) -> None:
    assert refused(line=line) == status


@pytest.mark.parametrize(
    ("line", "version"), [(b"GET / HTTP/1.0", "1.0"), (b"GET / HTTP/1.1", "1.1"), (b"GET / HTTP/1.9", "1.1")]
)
def test_versions(line: bytes, version: str) -> None:
    assert read(line=line).version == version


def test_http_1_1_needs_one_host_and_http_1_0_at_most_one() -> None:
    assert refused(host=None) == 400
    assert refused(b"Host: x") == 400
    assert refused(b"Host: y", line=b"GET / HTTP/1.0") == 400
    assert read(host=None, line=b"GET / HTTP/1.0").headers == []
    assert read(host=b"Host:").headers == [(b"host", b"")]


# --- the body and the connection ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ([], 0),
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 007"], 7),
        ([b"Content-Length: 7", b"Content-Length: 7"], 7),
        ([b"Content-Length: 7, 7"], 7),
        ([b"Transfer-Encoding: chunked"], None),
        ([b"Transfer-Encoding:\tChunked "], None),
    ],
)
def test_the_length_of_a_body(fields: list[bytes], length: int | None) -> None:
    assert read(*fields).length == length


def test_equal_lengths_reach_the_application_once() -> None:
    found = read(b"Content-Length: 7, 7", b"Content-Length: 7")
    assert [value for name, value in found.headers if name == b"content-length"] == [b"7"]


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length:"],
        [b"Content-Length: +7"],
        [b"Content-Length: -7"],
        [b"Content-Length: 0x7"],
        [b"Content-Length: 7 7"],
        [b"Content-Length: 7,"],
        [b"Content-Length: 7, 8"],
        [b"Content-Length: 7", b"Content-Length: 8"],
        [b"Content-Length: 7", b"Content-Length: 07"],
        [b"Content-Length: 1e3"],
        [b"Content-Length: \xb2"],
        [b"Content-Length: 7", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding:"],
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked;a=b"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding: xchunked"],
    ],
)
def test_a_body_whose_end_two_readers_could_see_differently_is_refused(fields: list[bytes]) -> None:
    assert refused(*fields) == 400


def test_an_endless_length_is_refused_as_too_long() -> None:
    assert refused(b"Content-Length: " + b"9" * 19) == 413


def test_chunks_are_refused_in_http_1_0() -> None:
    assert refused(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") == 400


@pytest.mark.parametrize(
    ("fields", "version", "kept"),
    [
        ([], b"1.1", True),
        ([b"Connection: keep-alive"], b"1.1", True),
        ([b"Connection: Upgrade, HTTP2-Settings"], b"1.1", True),
        ([b"Connection: close"], b"1.1", False),
        ([b"Connection: keep-alive , Close"], b"1.1", False),
        ([b"Connection: keep-alive", b"Connection: close"], b"1.1", False),
        ([], b"1.0", False),
        ([b"Connection: keep-alive"], b"1.0", False),
    ],
)
def test_which_connections_are_kept(fields: list[bytes], version: bytes, kept: bool) -> None:
    assert read(*fields, line=b"GET / HTTP/" + version).keep_alive is kept


def test_which_requests_expect_continue() -> None:
    assert read(b"Expect: 100-Continue ").expects_continue
    assert not read(b"Expect: 200-ok").expects_continue
    assert not read(b"Expect: 100-continue", line=b"POST / HTTP/1.0").expects_continue
