"""Removes secrets from texts of others before they are logged, kept or sent.

A provider may quote our request, and a library may quote a URL. `Redactor` removes the secrets that it was given, and,
known or not, callback tokens, credentials in headers, and the user, password and query of every URL.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

REDACTED = "[redacted]"

SHORTEST = 8
"""Characters of a secret. A shorter one would be found in words that have nothing to do with it."""

_URL_END = r"""[^\s"'<>`\\]"""
_PATTERNS = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # a callback's token, in a URL as it is and in one that is part of another's query
        (r"(/callbacks/[a-z0-9_-]+/|%2Fcallbacks%2F[a-z0-9_-]+%2F)[\w.~%-]+", rf"\1{REDACTED}"),
        (r"\b(job_[0-9a-v]{20,30})\.[\w-]{20,}", rf"\1.{REDACTED}"),
        # user and password of a URL, also of a database
        (r"\b([a-z][a-z0-9+.-]{0,30}://)[^\s/?#\"'<>@]*(?:@[^\s/?#\"'<>@]*)*@", rf"\1{REDACTED}@"),
        (r"\b(password\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;'\"]+)", rf"\1{REDACTED}"),
        # the query of a URL, and of a path
        (rf"(://[^\s?\"'<>`\\]*\?){_URL_END}+", rf"\1{REDACTED}"),
        (rf"(\?)[\w.~%\[\]-]{{1,100}}={_URL_END}+", rf"\1{REDACTED}"),
        (r"(%3A%2F%2F[\w.~%-]*?%3F)[\w.~%+*-]+", rf"\1{REDACTED}"),
        # credentials in headers
        (
            r"((?:authorization|x-api-key|api[_-]?key)[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|key|basic|token)\s+)?+)"
            r"(?!\[redacted\])[^\s\"',;}\]]+",
            rf"\1{REDACTED}",
        ),
        (r"\b((?:bearer|key|basic)\s+)[\w.~+/=:-]{20,}", rf"\1{REDACTED}"),
        (r"\bwhsec_[\w+/=-]+", REDACTED),
    )
]
_SIGNS = ("?", "@", "%3f", "callbacks", "password", "authorization", "key", "bearer", "basic", "whsec_")
"""A text without one of these, or a job's id and a full stop, matches no pattern. To know that is much cheaper."""


class Redactor:
    """Redacts texts. `secrets` are values that must not be met anywhere; those under eight characters are ignored."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        self._known = [(secret[:SHORTEST], secret) for secret in sorted(known, key=len, reverse=True)]

    def __call__(self, text: str) -> str:
        """Return `text` with `[redacted]` in place of every secret, also of one that is cut at the end."""
        for beginning, secret in self._known:
            if beginning in text:
                text = _without_cut(text.replace(secret, REDACTED), secret)
        lower = text.lower()
        if not any(sign in lower for sign in _SIGNS) and not ("job_" in lower and "." in lower):
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def known(self, body: bytes) -> bytes:
        """Return `body` without the secrets that are known: the rest of it stays as it came."""
        for _, secret in self._known:
            body = body.replace(secret.encode(), REDACTED.encode())
        return body


def _without_cut(text: str, secret: str) -> str:
    whole = text.rstrip("….")
    last = whole.rfind(secret[:SHORTEST])
    return whole[:last] + REDACTED if last >= 0 and secret.startswith(whole[last:]) else text


def without_query(url: str) -> str:
    """Return scheme, host and path of a URL, for what is sent to others than its owner."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return REDACTED
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" + (f"?{REDACTED}" if parts.query else "")


def password_of(url: str) -> str:
    """Return the password in a URL as it is used, or an empty text."""
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def _forms(secret: str) -> list[str]:
    """Return the secret as it may be written: as it is, in a URL, in JSON, and the secret half of `id:secret`."""
    escaped = secret.replace("\\", "\\\\").replace('"', '\\"')
    halves = [half for half in secret.split(":")[1:] if len(half) >= 2 * SHORTEST]
    return [secret, quote(secret, safe=""), escaped, *halves]
