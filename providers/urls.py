"""URLs that others wrote: which may be stored, and which may be sent our key."""

import re
from urllib.parse import SplitResult, urlsplit

LONGEST_URL = 8192
"""Characters. Longer than any signed URL seen, shorter than anything that hurts."""

_PORTS = {"http": 80, "https": 443}

_PLAIN = re.compile(r"https?://[a-z0-9.-]*[a-z0-9](/[!-~]*)?")
"""As nearly all are: a host name without user or port, and printable ASCII. `_split` finds nothing wrong with these."""


def read_web_url(value: object) -> str | None:
    """Read an http(s) URL with a host, printable and of bounded length; None otherwise.

    Whatever passes can be split again later without raising.
    """
    if not isinstance(value, str):
        return None
    if _PLAIN.fullmatch(value) and len(value) <= LONGEST_URL:
        return value
    return value if _split(value) is not None else None


def read_url_at(value: object, home: str) -> str | None:
    """Read a URL only when scheme, host and port are those of `home`, and it names no user; None otherwise.

    The request for it carries our key, so a URL elsewhere is never followed.
    """
    there, here = _split(value) if isinstance(value, str) else None, _split(home)
    if there is None or here is None or not isinstance(value, str):
        return None
    # A backslash is a slash to some clients and a host character to others: refuse the argument.
    if "\\" in value or " " in value or "@" in there.netloc or _origin(there) != _origin(here):
        return None
    return value


def _split(url: str) -> SplitResult | None:
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
