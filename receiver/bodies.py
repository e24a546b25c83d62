"""Request bodies: read whole, up to a limit, as the bytes they came in."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from receiver.problems import Problem

BODY_SECONDS = 30.0
"""How long a body may take to come; fal itself waits 15 s for its first answer."""


class BodyRefused(Problem):
    """A body that is not read to its end. `reason` is a word for log and metric."""

    def __init__(self, reason: str, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.reason = reason


def check_declared_length(request: Request, limit: int) -> None:
    """Refuse a body that says it is longer than `limit` bytes, before reading any. Raises BodyRefused 413 or 400."""
    declared = request.headers.get("content-length")
    if declared is None:
        return
    if not declared.isascii() or not declared.isdigit():
        raise BodyRefused("content_length_malformed", 400, "Content-Length is not a number")
    if len(declared) > 15 or int(declared) > limit:
        raise _too_long(limit)


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body, at most `limit` bytes. Raises BodyRefused 413 as soon as it is longer."""
    check_declared_length(request, limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_long(limit)
    except TimeoutError:
        raise BodyRefused("body_too_slow", 408, f"the body did not come within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise BodyRefused("body_cut_short", 400, "the connection ended before the body did") from None
    return bytes(body)


def _too_long(limit: int) -> BodyRefused:
    return BodyRefused("body_too_long", 413, f"the body is longer than {limit} bytes (MAX_BODY_BYTES)")
