"""Bodies of callbacks: hashed while they arrive, and kept up to a limit."""

from collections.abc import Iterable

import msgspec
from starlette.types import Receive

from providers.provider import BodyHash
from receiver.web.bodies import BodyRefused, check_declared_length

READ_ON = 8
"""A body is read, but not kept, up to so many times the limit, so that it can be verified."""


SETTING = f"{READ_ON} times MAX_RESULT_BYTES"


class CallbackBody(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: all of it, or only how long it is when that is more than the limit."""

    kept: bytes | None
    length: int


def check_callback_length(headers: Iterable[tuple[bytes, bytes]], *, limit: int) -> None:
    """Raise BodyRefused 413 for a body declared longer than `READ_ON` times the limit, before reading any of it."""
    check_declared_length(headers, READ_ON * limit, setting=SETTING)


async def read_callback_body(receive: Receive, hashed: BodyHash, *, limit: int) -> CallbackBody:
    """Read a body to its end and hash it; keep at most `limit` bytes.

    Raises BodyRefused 413 for one of more than `READ_ON` times the limit, 400 for one that ends too early.
    """
    kept, length = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyRefused("body_cut_short", 400, "the connection ended before the body did")
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        hashed.update(piece)
        length += len(piece)
        if length > READ_ON * limit:
            raise BodyRefused("body_too_long", 413, f"the body is longer than {READ_ON * limit} bytes ({SETTING})")
        if length > limit:
            kept.clear()
        elif not more and not kept:  # the usual case: the whole body at once
            return CallbackBody(kept=piece, length=length)
        else:
            kept += piece
        if not more:
            return CallbackBody(kept=None if length > limit else bytes(kept), length=length)
