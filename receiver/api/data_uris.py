"""Shortens data: URIs, so that lists and notifications do not repeat megabytes."""

import binascii
import hashlib
import json
import re
from urllib.parse import unquote_to_bytes

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_LONGEST_TYPE = 100


def shorten_data_uris(text: str) -> str | None:
    """Return a JSON text with each data: URI cut to `data:TYPE;size=BYTES;sha256=HEX`; None if it has none.

    The rest is left byte for byte. Size and digest are those of the content, decoded where it can be.
    """
    short = _STRING.sub(_shorten, text)
    return None if short == text else short


def _shorten(string: re.Match[str]) -> str:
    if string[0][1:6].lower() != "data:":
        return string[0]
    head, comma, content = str(json.loads(string[0]))[5:].partition(",")
    if not comma:
        return string[0]
    media_type, *parameters = head.split(";")
    data = _decode(content, in_base64="base64" in parameters)
    digest = hashlib.sha256(data).hexdigest()
    return json.dumps(f"data:{media_type[:_LONGEST_TYPE]};size={len(data)};sha256={digest}")


def _decode(content: str, *, in_base64: bool) -> bytes:
    if not in_base64:
        return unquote_to_bytes(content)
    try:
        return binascii.a2b_base64(content + "==")  # too much padding is ignored, too little is an error
    except ValueError:
        return content.encode()
