"""URLs that users and providers wrote: which may be stored, and which may be sent our key."""

import re
from urllib.parse import SplitResult, urlsplit

LONGEST_URL = 8192
"""Characters. Longer than any signed URL seen."""

_PORTS = {"http": 80, "https": 443}

_PLAIN = re.compile(r"https?://[a-z0-9.-]*[a-z0-9](/[!-~]*)?")
"""Most URLs: a host name without user or port, and printable ASCII. `parse_http_url` accepts all of these."""


def read_http_url(value: object) -> str | None:
    """Return an http(s) URL with a host, printable and of bounded length; None for any other value.

    What is returned can be split again without raising.
    """
    if not isinstance(value, str):
        return None
    if _PLAIN.fullmatch(value) and len(value) <= LONGEST_URL:
        return value
    return value if parse_http_url(value) is not None else None


def read_url_of_origin(value: object, base_url: str) -> str | None:
    """Return a URL only when its scheme, host and port are those of `base_url` and it names no user; else None.

    The request for it carries our key, so a URL of another origin is never followed.
    """
    if not isinstance(value, str):
        return None
    url, base = parse_http_url(value), parse_http_url(base_url)
    # Some clients read a backslash as a slash, others as part of the host: neither is accepted.
    if url is None or base is None or "\\" in value or " " in value or "@" in url.netloc:
        return None
    return value if _origin(url) == _origin(base) else None


def parse_http_url(url: str) -> SplitResult | None:
    """Split an http(s) URL with a host, printable and of bounded length; None for any other text."""
    if len(url) > LONGEST_URL or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
        usable = parts.scheme in _PORTS and bool(parts.hostname)
    except ValueError:
        return None
    return parts if usable else None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
