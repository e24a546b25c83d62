"""http and https URLs that an operator or a user gives."""

import re
from urllib.parse import SplitResult, urlsplit

LONGEST_URL = 2048

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[A-Za-z0-9.:_-]+")


def parse_http_url(text: str) -> SplitResult:
    """Split an absolute http or https URL with a host, without user or fragment, in printable ASCII.

    Raises ValueError saying what would be right. The message does not repeat the URL, which may hold a password.
    """
    if len(text) > LONGEST_URL or not _PRINTABLE.fullmatch(text):
        raise ValueError(f"must be a URL in ASCII, without spaces, of {LONGEST_URL} characters at most")
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError when it is not a port
    except ValueError:
        raise ValueError("must be a URL: its host or port cannot be read") from None
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("must be an absolute http or https URL, such as https://example.com")
    if parts.fragment or "@" in parts.netloc:
        raise ValueError("must be a URL without user, password and fragment, such as https://example.com")
    return parts
