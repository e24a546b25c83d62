"""URLs that users and providers wrote: which may be stored, and which may be sent our key."""

import re
from urllib.parse import SplitResult, quote, urlsplit

LONGEST_URL = 8192
"""Characters. Longer than any signed URL seen."""

_BLANKS = "".join(map(chr, range(0x21)))
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


def read_file_url(value: str) -> str | None:
    """Return the http(s) URL of a file as a browser would follow it; None for any other text.

    Line breaks, tabs and blanks around it are dropped, and characters that cannot be printed, such as U+202F in the
    names of screenshots, are percent-encoded: https://url.spec.whatwg.org/#concept-basic-url-parser
    """
    if _PLAIN.fullmatch(value) and len(value) <= LONGEST_URL:
        return value
    if len(value) > LONGEST_URL:
        return None
    text = re.sub(r"[\t\r\n]", "", value.strip(_BLANKS))
    url = text if text.isprintable() else "".join(map(_encode_unprintable, text))
    return url if parse_http_url(url) is not None else None


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


def _encode_unprintable(char: str) -> str:
    if char.isprintable():
        return char
    return quote("\ufffd" if "\ud800" <= char <= "\udfff" else char)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
