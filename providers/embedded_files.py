"""Files that a provider sends inside its response, as data: URIs: https://www.rfc-editor.org/rfc/rfc2397"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote, unquote_to_bytes

from ledger.records import Output
from providers.reading import read_text

_DATA = re.compile(
    r"\s*data:(?P<type>[^,;\s]{1,200}/[^,;\s]{1,200})?(?P<fields>(?:;[^,;]{0,200}){0,20}),", re.IGNORECASE
)
_PIECE = 1 << 20
"""Characters of base64 that are decoded in one step. Divisible by 4."""


def is_data_uri(value: str) -> bool:
    """Return whether a text is a data: URI, rather than text that begins with the word."""
    return _DATA.match(value[:8192]) is not None


def describe_data_uri(value: str) -> Output:
    """Describe the file in a data: URI by media type, size and digest: its bytes are in the receipt only.

    Its `url` is the name of the digest, `ni:///sha-256;...?ct=...`: https://www.rfc-editor.org/rfc/rfc6920
    What is not base64 although it should be has the digest of its text, and no size.
    """
    match = _DATA.match(value[:8192])
    if match is None:
        raise ValueError("not a data: URI")
    content_type = read_text(match["type"], 255) or "text/plain"
    data = value[match.end() :]
    size: int | None
    try:
        in_base64 = match["fields"].lower().rstrip().endswith(";base64")
        digest, size = _digest(_decode_base64(data) if in_base64 else [unquote_to_bytes(data)])
    except ValueError:
        digest, size = _digest([data.encode("utf-8", "replace")])[0], None
    url = f"ni:///sha-256;{digest}?ct={quote(content_type, safe='/')}"
    return Output(url=url, content_type=content_type, file_size=size)


def _digest(pieces: Iterable[bytes]) -> tuple[str, int]:
    hashed, size = hashlib.sha256(), 0
    for piece in pieces:
        hashed.update(piece)
        size += len(piece)
    return base64.urlsafe_b64encode(hashed.digest()).decode().rstrip("="), size


def _decode_base64(data: str) -> Iterator[bytes]:
    if "%" in data:
        data = unquote(data)
    if any(blank in data for blank in " \n\r\t"):
        data = "".join(data.split())
    data = data.replace("-", "+").replace("_", "/").rstrip("=")
    for start in range(0, len(data), _PIECE):
        piece = data[start : start + _PIECE]
        yield binascii.a2b_base64(piece + "=" * (-len(piece) % 4), strict_mode=True)
