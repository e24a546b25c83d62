"""Secrets hide themselves: in a log, an exception or an f-string they are `***`. `reveal` returns the value."""

import base64
from typing import Any

HIDDEN = "***"


class _Hidden:
    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, _: str) -> str:
        return HIDDEN


class Secret(_Hidden, str):
    """A text that compares and encodes as itself, and shows itself as `***`."""

    __slots__ = ()


class SecretBytes(_Hidden, bytes):
    """Bytes that show themselves as `***`."""

    __slots__ = ()


def reveal(text: str) -> str:
    """Return the value of a secret, to put it where it is used: a header, a connection."""
    return str.__str__(text)


def hide(value: Any) -> Any:
    """Return a setting's value as a secret: a text, bytes, or several of them. Other values stay as they are."""
    if isinstance(value, str):
        return Secret(value)
    if isinstance(value, bytes):
        return SecretBytes(value)
    return tuple(hide(each) for each in value) if isinstance(value, tuple) else value


def texts_of(value: object) -> list[str]:
    """Return the texts as which a secret may be met: bytes as the base64 that they were read from."""
    if isinstance(value, str):
        return [reveal(value)]
    if isinstance(value, bytes):
        return [base64.b64encode(value).decode().rstrip("=")]
    return [text for each in value for text in texts_of(each)] if isinstance(value, tuple) else []
