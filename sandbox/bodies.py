"""JSON bodies of requests: anything that could not be answered or shown later is refused."""

import json
import math
from typing import Any

from starlette.requests import Request

MOST_LEVELS = 100


class UnusableBodyError(ValueError):
    """The body is not JSON, or JSON that cannot be written again: NaN, half of a character, too many levels."""


async def read_object(request: Request) -> dict[str, Any]:
    """Read the body as a JSON object. Raises UnusableBodyError."""
    return parse_object(await request.body())


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises UnusableBodyError."""
    try:
        value = json.loads(body, parse_constant=_refuse, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UnusableBodyError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise UnusableBodyError("the body is not a JSON object")
    if _levels(value) > MOST_LEVELS:
        raise UnusableBodyError(f"the body has more than {MOST_LEVELS} levels")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a number")
    return value


def _levels(value: Any) -> int:
    levels, row = 0, [value]
    while row:
        levels += 1
        row = [
            item
            for each in row
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
    return levels
