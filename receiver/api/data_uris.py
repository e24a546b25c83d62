"""Shortens data: URIs, so that lists and notifications do not repeat megabytes."""

import re

import msgspec

from providers.embedded_files import read_data_uri

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def shorten_data_uris(text: str) -> str | None:
    """Return a JSON text with each data: URI cut to `data:TYPE;size=BYTES;sha256=HEX`; None if it has none.

    The rest is left as it is. Content that should be base64 and is not has no `size`, and the digest of its text.
    """
    short = _STRING.sub(_shorten, text)
    return None if short == text else short


def _shorten(string: re.Match[str]) -> str:
    if string[0][1:6].lower() != "data:":
        return string[0]
    file = read_data_uri(msgspec.json.decode(string[0], type=str))
    if file is None:
        return string[0]
    size = "" if file.size is None else f";size={file.size}"
    return msgspec.json.encode(f"data:{file.content_type}{size};sha256={file.sha256.hex()}").decode()
