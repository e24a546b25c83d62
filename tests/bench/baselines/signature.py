"""fal's signature as its documentation's sample verifies it. BENCH_JWKS names a file with the keys, read once.

https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


def is_signed(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of the keys signed this."""
    parts = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    message = "\n".join([*parts, hashlib.sha256(body).hexdigest()]).encode()
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    for key in _keys():
        try:
            key.verify(message, signature)
        except BadSignatureError:
            continue
        return True
    return False


@cache
def _keys() -> list[VerifyKey]:
    keys = json.loads(Path(os.environ["BENCH_JWKS"]).read_bytes())["keys"]
    return [VerifyKey(base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))) for key in keys]
