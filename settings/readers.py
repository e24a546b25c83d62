"""Readers: each makes a setting's value of its text, or raises ValueError saying what would be right."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from typing import Literal

from settings.urls import parse_http_url

SHORTEST_KEY = 16
SHORTEST_SECONDS = 0.05
SHORTEST_SECRET, LONGEST_SECRET = 24, 64
"""Bytes of a notification secret. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""


def read_text(text: str) -> str:
    """Read one line of printable characters."""
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def read_token(text: str) -> str:
    """Read a provider's API key. It is sent in a header, so only visible ASCII is accepted."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be visible ASCII characters without spaces")
    return text


def read_url(text: str) -> str:
    """Read an absolute http or https URL."""
    parse_http_url(text)
    return text


def read_base_url(text: str) -> str:
    """Read a URL to which paths are appended; a trailing slash is dropped."""
    if parse_http_url(text).query:
        raise ValueError("must be a URL such as https://example.com, without a query")
    return text.rstrip("/")


def read_path(text: str) -> str:
    """Read the path of a URL, such as /v1/things."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError(f"must be a path such as /v1/workflows/executions, not {text!r}")
    return text


def count_between(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` to `most`."""

    def read_count(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return read_count


def read_seconds(text: str) -> float:
    """Read seconds, from 0.05 to 30 days; fractions are allowed."""
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text) or not SHORTEST_SECONDS <= float(text) <= 30 * 86400:
        raise ValueError(f"must be a number of seconds from {SHORTEST_SECONDS} to 2592000, not {text!r}")
    return float(text)


def read_keys(text: str) -> tuple[str, ...]:
    """Read one or more keys, comma-separated, newest first."""
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if not keys or any(len(key) < SHORTEST_KEY for key in keys):
        raise ValueError(
            f"each key must have at least {SHORTEST_KEY} characters (several are comma-separated, newest first)"
        )
    return keys


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Read one or more Standard Webhooks secrets, `whsec_` and base64, comma-separated, newest first."""
    return tuple(_secret(part.strip()) for part in text.split(","))


def _secret(text: str) -> bytes:
    try:
        digits = text.removeprefix("whsec_").rstrip("=")  # openssl and some dashboards leave the padding out
        secret = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        secret = b""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise ValueError(f"must be whsec_ and the base64 of {SHORTEST_SECRET} to {LONGEST_SECRET} random bytes")
    return secret


def read_targets(text: str) -> tuple[str, ...]:
    """Read host names, addresses and networks (CIDR), comma-separated."""
    targets = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for target in targets:
        if "/" in target:
            ipaddress.ip_network(target)  # its ValueError says what is wrong
        elif ":" in target:
            ipaddress.ip_address(target)  # IPv6; a port is not allowed
        elif not re.fullmatch(r"[a-z0-9._-]{1,253}", target):
            raise ValueError(f"must be host names, addresses or networks such as 10.0.0.0/8, not {target!r}")
    return targets


def read_resubmit(text: str) -> Literal["never"] | int:
    """Read `never`, or `after:` and seconds, which are returned in milliseconds."""
    if text == "never":
        return "never"
    if not re.fullmatch(r"after:[0-9]{1,7}", text):
        raise ValueError(f"must be never or after:<seconds>, not {text!r}")
    return int(text.removeprefix("after:")) * 1000


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader of one of `words`, in any case."""

    def read_word(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text.lower()

    return read_word


def read_switch(text: str) -> bool:
    """Read `1` or `0` as a bool."""
    return one_of("1", "0")(text) == "1"
