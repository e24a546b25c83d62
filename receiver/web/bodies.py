"""Request bodies: read whole, up to a limit, as bytes."""

from collections.abc import Iterable

from starlette.types import Receive

from receiver.web.problems import Problem


class BodyRefused(Problem):
    """A body that is not read to its end. `reason` is a word for logs and metrics."""

    def __init__(self, reason: str, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.reason = reason


def check_declared_length(
    headers: Iterable[tuple[bytes, bytes]], limit: int, *, setting: str = "MAX_BODY_BYTES"
) -> None:
    """Raise BodyRefused (413 or 400) for a body declared longer than `limit` bytes, before reading any of it.

    `headers` are raw, as ASGI gives them. `setting` is the one to name.
    """
    for name, declared in headers:
        if name == b"content-length":
            if not declared.isdigit():
                raise BodyRefused("content_length_malformed", 400, "Content-Length is not a number")
            if len(declared) > 15 or int(declared) > limit:
                raise _too_long(limit, setting)


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read the body, at most `limit` bytes. Raises BodyRefused 413 as soon as it is longer, 400 when it ends too early.

    `receiver/http/protocol.py` limits how long it may take, and ends the connection.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):  # the usual case: the whole body at once
        whole: bytes = message.get("body", b"")
        _check_length(whole, limit)
        return whole
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        _check_length(body, limit)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()
    raise BodyRefused("body_cut_short", 400, "the connection ended before the body did")


def _check_length(body: bytes | bytearray, limit: int) -> None:
    if len(body) > limit:
        raise _too_long(limit, "MAX_BODY_BYTES")


def _too_long(limit: int, setting: str) -> BodyRefused:
    return BodyRefused("body_too_long", 413, f"the body is longer than {limit} bytes ({setting})")
