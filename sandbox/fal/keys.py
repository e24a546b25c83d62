"""The signing keys and their JWKS."""

import base64
import os
from collections import deque
from typing import Any

from nacl.signing import SigningKey


class Keyring:
    """The key that signs, and the previous one, which is still in the JWKS."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._keys = deque([SigningKey(seed or os.urandom(32))], maxlen=2)
        self._reads_to_refuse = 0

    def sign(self, message: bytes) -> str:
        """Sign with the newest key and return the signature as 128 hexadecimal digits."""
        return self._keys[-1].sign(message).signature.hex()

    def rotate(self) -> None:
        """Sign with a new random key from now on."""
        self._keys.append(SigningKey.generate())

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, the newest last, so that a verifier has to try them all."""
        # `x` has no padding. The sample code in fal's documentation fails on that:
        # https://fal.ai/docs/documentation/model-apis/inference/webhooks
        return {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": base64.urlsafe_b64encode(bytes(key.verify_key)).rstrip(b"=").decode(),
                }
                for key in self._keys
            ]
        }

    def refuse_reads(self, count: int) -> None:
        """Answer the next `count` reads of the JWKS with 503."""
        self._reads_to_refuse = count

    def allow_read(self) -> bool:
        """Return whether to answer this read of the JWKS, and count it."""
        if self._reads_to_refuse > 0:
            self._reads_to_refuse -= 1
            return False
        return True
