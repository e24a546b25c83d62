"""One text for all JSON texts that mean the same, to compare requests.

White space and the order of members do not count. Numbers are compared as in https://www.rfc-editor.org/rfc/rfc8785, by
the double that they are; but whole numbers from 2**53 on, which doubles confuse, by all their digits.
"""

import json

import msgspec

_EXACT = 2**53
"""Below it a double holds every whole number."""

_SURELY_EXACT = len(str(_EXACT))
"""Shorter whole numbers are below `_EXACT`."""


def canonical_json(text: str) -> bytes:
    """Return the canonical text. Raises ValueError or RecursionError if `text` is not JSON."""
    values = json.loads(text, parse_int=_whole, parse_float=_real)
    return msgspec.json.encode(values, order="sorted")


def _whole(text: str) -> int | msgspec.Raw:
    return int(text) if len(text) < _SURELY_EXACT else _digits(text, "", 0)


def _real(text: str) -> float | msgspec.Raw:
    value = float(text)
    if abs(value) < _EXACT:
        return int(value) if value.is_integer() else value
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    return _digits(whole, fraction, int(exponent or 0))


def _digits(whole: str, fraction: str, exponent: int) -> int | msgspec.Raw:
    sign, whole = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    digits = (whole + fraction).lstrip("0")
    kept = digits.rstrip("0")
    exponent += len(digits) - len(kept) - len(fraction)
    if exponent >= 0 and len(kept) + exponent <= _SURELY_EXACT:
        value = int(kept + "0" * exponent)
        if value < _EXACT:
            return -value if sign else value
    return msgspec.Raw(f"{sign}{kept}e{exponent}".encode())
