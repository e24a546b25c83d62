"""fal's public keys, read from its JWKS."""

import base64
import binascii

from nacl.signing import VerifyKey

from providers.errors import Malformed
from providers.reading import read_json

MOST_KEYS = 32
"""Keys kept of one set: each costs a verification for every forged callback."""


def parse_jwks(body: bytes) -> tuple[VerifyKey, ...]:
    """Read the Ed25519 keys of a JWKS, in order, each once, at most `MOST_KEYS`.

    Raises `Malformed` when there is no usable key: an empty set must not replace a good one.
    """
    # https://rest.fal.ai/.well-known/jwks.json
    fields = read_json(body)
    entries = fields.get("keys") if isinstance(fields, dict) else None
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
    if not isinstance(entry, dict) or entry.get("kty", "OKP") != "OKP" or entry.get("crv", "Ed25519") != "Ed25519":
        return None
    x = entry.get("x")
    if not isinstance(x, str) or len(x) > 100 or not x.isascii():
        return None
    # fal's own sample decodes without padding and so loses every key; 43 characters need one "=".
    unpadded = x.rstrip("=")
    try:
        raw = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return raw if len(raw) == 32 else None
