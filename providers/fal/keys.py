"""fal's public keys, read from its JWKS."""

import base64
import binascii

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.signing import VerifyKey

from providers.errors import Malformed
from providers.reading import read_json

MOST_KEYS = 256
"""Keys of one set that are used. A forged callback is verified with each, which takes about 60 microseconds."""


def parse_jwks(body: bytes) -> tuple[VerifyKey, ...]:
    """Read the Ed25519 keys of a JWKS, in order, each once, at most `MOST_KEYS`.

    Raises `Malformed` when none of them can verify a signature: such a set must not replace a good one.
    """
    # https://rest.fal.ai/.well-known/jwks.json
    fields = read_json(body)
    entries = fields.get("keys") if isinstance(fields, dict) else fields
    if not isinstance(entries, list):
        raise Malformed("the key set has no list of keys")
    found: dict[bytes, VerifyKey] = {}
    for raw in map(_read_key, entries):
        if raw is not None and len(found) < MOST_KEYS:
            found.setdefault(raw, VerifyKey(raw))
    if not found:
        raise Malformed("the key set has no usable Ed25519 key")
    return tuple(found.values())


def _read_key(entry: object) -> bytes | None:
    # Only `x` is documented; the other fields are checked when they are present.
    if not isinstance(entry, dict) or not (_is(entry.get("kty"), "okp") and _is(entry.get("crv"), "ed25519")):
        return None
    x = entry.get("x")
    if not isinstance(x, str) or len(x) > 100 or not x.isascii():
        return None
    # fal's own sample decodes without padding and so loses every key; 43 characters need one "=".
    text = x.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    # A point that is not on the curve, or of small order, verifies nothing, or anything.
    return raw if len(raw) == 32 and crypto_core_ed25519_is_valid_point(raw) else None


def _is(value: object, word: str) -> bool:
    return value is None or (isinstance(value, str) and value.lower() == word)
