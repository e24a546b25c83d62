"""How the text of one setting becomes its value. Each raises ValueError saying what would be right."""

import base64
import binascii
import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

SHORTEST_KEY = 16
LONGEST_URL = 2048
SHORTEST_SECONDS = 0.05
SHORTEST_SECRET, LONGEST_SECRET = 24, 64
"""Bytes of a notification secret. https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""


def read_text(text: str) -> str:
    """Take the text as it is, on one line."""
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def read_token(text: str) -> str:
    """Take a provider's key: it goes into a header, so visible ASCII only."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be visible ASCII characters without spaces: was something pasted with it?")
    return text


def read_url(text: str) -> str:
    """Take an absolute http or https URL. What is wrong is not repeated: it may hold a password."""
    parts = urlsplit(read_text(text))
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be a URL such as https://example.com, without user or fragment")
    _ = parts.port  # raises ValueError when it is no number
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", parts.hostname) or not text.isascii() or len(text) > LONGEST_URL:
        raise ValueError(f"must be a URL such as https://example.com, in ASCII, of {LONGEST_URL} characters at most")
    return text


def read_base_url(text: str) -> str:
    """Take a URL that others are made of by adding to its path; a trailing slash is dropped."""
    if urlsplit(read_url(text)).query:
        raise ValueError("must be a URL such as https://example.com, without a query")
    return text.rstrip("/")


def read_path(text: str) -> str:
    """Take the path of a URL, such as /v1/things."""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        raise ValueError(f"must be a path such as /v1/workflows/executions, not {text!r}")
    return text


def read_count(text: str, least: int, most: int) -> int:
    """Take a whole number between `least` and `most`."""
    if not re.fullmatch(r"[0-9]{1,12}", text) or not least <= int(text) <= most:
        raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def read_seconds(text: str) -> float:
    """Take a number of seconds, from a twentieth to 30 days; fractions are fine."""
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text) or not SHORTEST_SECONDS <= float(text) <= 30 * 86400:
        raise ValueError(f"must be a number of seconds from {SHORTEST_SECONDS} to 2592000, not {text!r}")
    return float(text)


def read_keys(text: str) -> tuple[str, ...]:
    """Take one or more keys, comma-separated, newest first."""
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if not keys or any(len(key) < SHORTEST_KEY for key in keys):
        raise ValueError(
            f"each key must have at least {SHORTEST_KEY} characters (several are comma-separated, newest first)"
        )
    return keys


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Take one or more Standard Webhooks secrets, `whsec_` and base64, comma-separated, newest first."""
    return tuple(_secret(part.strip()) for part in text.split(","))


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        secret = b""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise ValueError(f"must be whsec_ and the base64 of {SHORTEST_SECRET} to {LONGEST_SECRET} random bytes")
    return secret


def read_targets(text: str) -> tuple[str, ...]:
    """Take host names, addresses or networks (CIDR), comma-separated, that notifications may go to though private."""
    targets = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for target in targets:
        if "/" in target:
            ipaddress.ip_network(target)  # raises ValueError that says what is wrong with it
        elif ":" in target:
            ipaddress.ip_address(target)  # an IPv6 address; a port has no place here
        elif not re.fullmatch(r"[a-z0-9._-]{1,253}", target):
            raise ValueError(f"must be host names, addresses or networks such as 10.0.0.0/8, not {target!r}")
    return targets


def read_resubmit(text: str) -> Literal["never"] | int:
    """Take `never`, or `after:` and seconds; the result is `never` or milliseconds."""
    if text == "never":
        return "never"
    if not re.fullmatch(r"after:[0-9]{1,7}", text):
        raise ValueError(f"must be never or after:<seconds>, not {text!r}")
    return int(text.removeprefix("after:")) * 1000


def read_choice(text: str, words: tuple[str, ...]) -> str:
    """Take one of `words`."""
    if text.lower() not in words:
        raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
    return text.lower()


def read_log_level(text: str) -> str:
    """Take the name of a log level."""
    return read_choice(text, ("debug", "info", "warning", "error"))
