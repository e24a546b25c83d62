"""Which job a callback URL may settle: the job id, signed, in the URL's path."""

import hashlib
from collections.abc import Sequence

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import want_bytes


class CallbackTokens:
    """Sign job ids into URL tokens, and read them back.

    `keys` are newest first: the first signs, all are believed, so that a key can be rotated while callbacks of
    the old one are still out. The salt is the purpose: no other use of the same keys can make such a token.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._signer = Signer(
            [want_bytes(key) for key in reversed(keys)],  # itsdangerous signs with the last
            salt="renderhook.callback-token.v1",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )

    def sign(self, job_id: str) -> str:
        """Return the token for `job_id`, safe in a URL path."""
        return self._signer.sign(job_id).decode("ascii")

    def job_id(self, token: str) -> str | None:
        """Return the job that `token` names, or None when we did not sign it."""
        try:
            return self._signer.unsign(token.encode("ascii")).decode("ascii")
        except (BadSignature, UnicodeError):
            return None
