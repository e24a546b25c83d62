"""Responses as bytes."""

from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from receiver.http.heads import PRINTABLE, Header
from receiver.web.problems import Problem

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})  # decided here

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ResponseHead(msgspec.Struct, frozen=True):
    """The head of a response. `length` is None where chunks or the end of the connection end the body."""

    data: bytes
    has_body: bool
    length: int | None
    chunked: bool
    keep_alive: bool


def render_head(
    status: int, headers: Iterable[Header], *, version: str, has_body: bool, keep_alive: bool
) -> ResponseHead:
    """Render a head. Raises ValueError for a header that would be more than one, or none.

    `keep_alive` is whether the request allows it; a `Connection: close` among the headers ends it. A response to HEAD
    and one with status 204 or 304 has no body, whatever its headers say.
    """
    length = None
    parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status]
    for name, value in headers:
        lower = name.lower()
        if lower not in _FRAMING:
            parts.append(b"%b: %b" % (name, value))
        elif lower == b"content-length":
            length = int(value)
            parts.append(b"content-length: %d" % length)
        elif lower == b"connection":
            keep_alive = keep_alive and b"close" not in value.lower()
    has_body = has_body and status not in {204, 304}
    chunked = has_body and length is None and version == "1.1"
    if chunked:
        parts.append(b"transfer-encoding: chunked")
    keep_alive = keep_alive and (chunked or length is not None or not has_body)
    if not keep_alive:
        parts.append(b"connection: close")
    data = b"\r\n".join(parts) + b"\r\n\r\n"
    if data.translate(None, PRINTABLE) != b"\r\n" * (len(parts) + 1):
        raise ValueError("a response header has a line end or a control character")
    return ResponseHead(data, has_body, length if has_body else 0, chunked, keep_alive)


def render_problem(problem: Problem, date: Iterable[Header]) -> bytes:
    """Render a whole response that ends the connection."""
    response = problem.response()
    headers = [*date, *response.raw_headers]
    head = render_head(problem.status, headers, version="1.1", has_body=True, keep_alive=False)
    return head.data + bytes(response.body)
