"""Reading a provider's response and its single values, each checked before it is used."""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from providers.json_scanner import scan_json

AT_ONCE = 16_384
"""Bytes of JSON that are read in 50 ms at the very most. Longer JSON is read in a thread (`work/off_loop.py`)."""

LONGEST_WAIT = 86_400.0
"""Seconds. A longer `Retry-After` is cut to this; the caller may have a shorter limit."""

_LONGEST_DECODED = 8 << 20
_MOST_DECODED = 20_000
"""Bytes and values that are decoded at once, which holds every other thread up for some milliseconds."""

# Without the hook one number such as 1e300 takes 12 microseconds.
_DECODER = msgspec.json.Decoder(float_hook=float)

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def read_json(body: bytes) -> Any:
    """Decode JSON, however its writer made it, and whatever numbers and nesting it has. Raises `Malformed`.

    A text of very many values is read without those that say nothing about files or the outcome: `json_scanner.py`.
    """
    if len(body) <= AT_ONCE or (len(body) <= _LONGEST_DECODED and _count_values(body) <= _MOST_DECODED):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return _DECODER.decode(body)
    return scan_json(body)


def _count_values(body: bytes) -> int:
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def read_retry_after(headers: Mapping[str, str], now: int | None = None) -> float | None:
    """Read `Retry-After` as seconds between 0 and a day; None when it is absent or neither number nor date.

    A date needs `now`, in ms since the epoch, UTC; without it a date is None. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_WAIT)
    if now is None:
        return None
    try:
        at = parsedate_to_datetime(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now / 1000
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def read_id(value: object) -> str | None:
    """Read a provider's id: 1 to 200 visible ASCII characters, not `.` or `..`; None otherwise."""
    if isinstance(value, str) and _ID.fullmatch(value) and value.strip("."):
        return value
    return None


def read_code(value: object) -> str | None:
    """Read an error code as a word fit for a log and a metric; whole numbers become text; None otherwise."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**12 else None
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def read_text(value: object, limit: int = 1000) -> str | None:
    """Read text for people: on one line, at most `limit` characters; None when it is no text or blank."""
    if not isinstance(value, str):
        return None
    if len(value) <= limit and value.isprintable() and "  " not in value:  # the common case
        return value.strip() or None
    return _normalize(value, limit)


def _normalize(value: str, limit: int) -> str | None:
    # Postgres refuses NUL, and a log entry must stay one line: unprintable characters become spaces.
    printable = "".join(char if char.isprintable() else " " for char in value[: 4 * limit])
    line = " ".join(printable.split())
    return (line if len(line) <= limit else line[: limit - 1] + "…") or None


def read_count(value: object) -> int | None:
    """Read a size, a width or a duration: a whole number from 0 to 2**53; None otherwise."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53:
        return value
    return None
