"""How a notification is signed: Standard Webhooks 1.0, v1.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence


def signed_headers(delivery_id: str, body: bytes, secrets: Sequence[bytes], *, now: int) -> dict[str, str]:
    """Return the three headers that authenticate a notification. `now` is ms; the header has whole seconds.

    Every secret signs, newest first, so that a receiver can accept either one during a rotation.
    """
    timestamp = str(now // 1000)
    message = b".".join((delivery_id.encode(), timestamp.encode(), body))
    signatures = (hmac.digest(secret, message, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join("v1," + base64.b64encode(signature).decode() for signature in signatures),
    }
