"""Which job a callback URL may settle: the job id, signed, in the URL's path."""

import hashlib
import hmac
from collections.abc import Sequence

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import want_bytes
from itsdangerous.signer import SigningAlgorithm

_SALT = b"renderhook.callback-token.v1"
"""The purpose: no other use of the same keys can make such a token."""


class _HmacSha256(SigningAlgorithm):
    """itsdangerous' HMACAlgorithm with SHA-256, in one call of OpenSSL instead of a handful."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Sign `value`."""
        return hmac.digest(key, value, hashlib.sha256)


class CallbackTokens:
    """Sign job ids into URL tokens, and read them back.

    `keys` are newest first: the first signs, all are believed, so that a key can be rotated while callbacks of
    the old one are still out.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        # Derived once, as key_derivation="hmac" would for every token. itsdangerous signs with the last.
        derived = [hmac.digest(want_bytes(key), _SALT, hashlib.sha256) for key in reversed(keys)]
        self._signer = Signer(derived, key_derivation="none", algorithm=_HmacSha256())

    def sign(self, job_id: str) -> str:
        """Return the token for `job_id`, safe in a URL path."""
        return self._signer.sign(job_id).decode("ascii")

    def job_id(self, token: str) -> str | None:
        """Return the job that `token` names, or None when we did not sign it."""
        try:
            return self._signer.unsign(token.encode("ascii")).decode("ascii")
        except (BadSignature, UnicodeError):
            return None
