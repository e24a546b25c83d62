"""Digests of JSON that ignore white space, the order of members, and how numbers are written."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

EXACT = 2**53
"""Integers below this are exact as doubles."""


def read_number(text: str) -> int | float:
    """Read a JSON number that has a fraction or an exponent: as an integer if it is one, so that 1.0 is 1.

    Raises ValueError for one that is too large for a double, which strict readers of JSON refuse.
    """
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("has a number that is too large for JSON's readers: 1.8e308 is the most")
    return int(number) if number.is_integer() and abs(number) < EXACT else number


_DECODER = msgspec.json.Decoder(float_hook=read_number)
_ENCODER = msgspec.json.Encoder(order="deterministic")


def digest(values: Sequence[str], texts: Sequence[str]) -> str:
    """Identify `values` and the JSON of `texts`. Equal for the same JSON, however it is written."""
    return hashlib.sha256(_ENCODER.encode([*values, *map(_decode, texts)])).hexdigest()[:32]


def _decode(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text  # the API refuses it: it is only equal to itself
