"""The signing keys that the pretend fal has, and how it shows them."""

import base64
import os
from collections import deque
from typing import Any

from nacl.signing import SigningKey


class Keyring:
    """The key that signs, and the one before it, which the JWKS still shows."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._keys = deque([SigningKey(seed or os.urandom(32))], maxlen=2)
        self._reads_to_refuse = 0

    def sign(self, message: bytes) -> str:
        """Sign with the newest key.

        Returns: 128 hexadecimal digits.
        """
        return self._keys[-1].sign(message).signature.hex()

    def rotate(self) -> None:
        """Sign with a new random key from now on."""
        self._keys.append(SigningKey.generate())

    def jwks(self) -> dict[str, Any]:
        """Show the keys, the newest last, so that a verifier has to try them all."""
        # `x` carries no padding, which the sample in the documentation of fal trips over:
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
        """Have the next reads of the JWKS answered 503."""
        self._reads_to_refuse = count

    def readable(self) -> bool:
        """Say whether this read may be answered, and count it."""
        if self._reads_to_refuse > 0:
            self._reads_to_refuse -= 1
            return False
        return True
