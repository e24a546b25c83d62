"""Names for rows: unique without asking anybody, and sorted by when they were made."""

import base64
import secrets


def new_identifier(prefix: str, now: int) -> str:
    """Make an identifier such as `job_0dhqk2v41s…`.

    `now` is milliseconds since the epoch, UTC. 48 bits of time come first, then 80 random bits, in RFC 4648's
    base32hex, lower case, whose letters sort as the bytes do: later rows go to the right edge of every index.
    """
    raw = (now & 0xFFFF_FFFF_FFFF).to_bytes(6, "big") + secrets.token_bytes(10)
    return f"{prefix}_{base64.b32hexencode(raw).decode().rstrip('=').lower()}"
