"""Signed callback URLs: the token in the path names the job that the callback is for."""

import hashlib
import hmac
from collections.abc import Sequence

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import want_bytes
from itsdangerous.signer import SigningAlgorithm

_SALT = b"renderhook.callback-token.v1"
"""Signatures made for other purposes with the same key are not valid tokens."""


class _HmacSha256(SigningAlgorithm):
    """itsdangerous' HMACAlgorithm with SHA-256, in one call of OpenSSL instead of several."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Return the signature of `value`."""
        return hmac.digest(key, value, hashlib.sha256)


class CallbackTokens:
    """Signs job ids into URL tokens, and reads them back.

    `keys` are newest first: the first one signs, all of them verify, so that a key can be rotated while callbacks
    with tokens of the old one are still expected.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        # Derived once, as key_derivation="hmac" would for every token. itsdangerous signs with the last.
        derived = [hmac.digest(want_bytes(key), _SALT, hashlib.sha256) for key in reversed(keys)]
        self._signer = Signer(derived, key_derivation="none", algorithm=_HmacSha256())

    def sign(self, job_id: str) -> str:
        """Return the token for `job_id`, safe in a URL path."""
        return self._signer.sign(job_id).decode("ascii")

    def job_id(self, token: str) -> str | None:
        """Return the job that `token` names; None when none of our keys signed it."""
        try:
            return self._signer.unsign(token.encode("ascii")).decode("ascii")
        except (BadSignature, UnicodeError):
            return None
