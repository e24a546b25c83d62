"""Identifiers of rows: unique without coordination, and sorted by creation time."""

import secrets

_RANDOM_BITS = 80
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_last = (0, 0)


def new_identifier(prefix: str, now: int) -> str:
    """Make an identifier such as `job_0dhqk2v41s…` that sorts by creation. `now` is ms since the epoch, UTC.

    It has 48 bits of time and 80 random bits, in lower-case base32hex (RFC 4648), whose digits sort as the bytes do.
    Within one millisecond each identifier of a process is the one before plus one.
    """
    global _last  # noqa: PLW0603 - each identifier depends on the one before
    moment, number = _last
    number = number + 1 if moment == now else secrets.randbits(_RANDOM_BITS - 1)
    _last = (now, number)
    bits = ((now & 0xFFFF_FFFF_FFFF) << _RANDOM_BITS | number) << 2  # 26 digits of 5 bits hold 128 bits and two zeros
    return f"{prefix}_" + "".join([_PAIRS[bits >> shift & 1023] for shift in range(120, -1, -10)])
