"""Receive Renderhook's notifications with nothing but Python's standard library (3.11 or newer).

NOTIFY_SECRET=whsec_... python verify_notification.py
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

TOLERANCE_SECONDS = 300
SHORTEST_SECRET = 24
LONGEST_BODY = 8 << 20


class NotVerifiedError(Exception):
    """Not signed with the secret, or changed on the way, or too old."""


def verify(headers: Mapping[str, str], body: bytes, secrets: str, now: float) -> str:
    """Return the `webhook-id` of a notification, or raise NotVerifiedError.

    `headers` are looked up in lower case, `body` is the bytes as they came, `secrets` is `whsec_...`, or several with
    commas between them during a rotation, `now` is seconds since the epoch.
    """
    webhook_id = headers.get("webhook-id") or ""
    timestamp = headers.get("webhook-timestamp") or ""
    given = (headers.get("webhook-signature") or "").split()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", webhook_id) or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise NotVerifiedError("a header is missing or malformed")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise NotVerifiedError("the timestamp is too far from now")
    message = b".".join((webhook_id.encode(), timestamp.encode(), body))
    good = False
    for secret in secrets.split(","):
        key = base64.b64decode(secret.strip().removeprefix("whsec_"))
        if len(key) < SHORTEST_SECRET:
            raise ValueError("NOTIFY_SECRET must be whsec_ and base64")  # anyone can sign with an empty key
        expected = b"v1," + base64.b64encode(hmac.digest(key, message, hashlib.sha256))
        for signature in given:  # several during a rotation of the secret: one that matches is enough
            good |= hmac.compare_digest(expected, signature.encode())
    if not good:
        raise NotVerifiedError("no signature matches")
    return webhook_id


class Receiver(http.server.BaseHTTPRequestHandler):
    """Stores each notification once, under its `webhook-id`, and only then answers 204."""

    timeout = 15
    inbox = Path(os.environ.get("INBOX", "inbox"))

    def do_POST(self) -> None:
        """Receive one notification."""
        length = self.headers.get("content-length") or ""
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > LONGEST_BODY:
            self.answer(413)
            return
        body = self.rfile.read(int(length))
        try:
            webhook_id = verify(self.headers, body, os.environ["NOTIFY_SECRET"], time.time())
        except NotVerifiedError as error:
            self.log_message("refused: %s", error)
            self.answer(401)
            return
        self.store(webhook_id, body)
        self.answer(204)

    def store(self, webhook_id: str, body: bytes) -> None:
        """Store a new notification. With a database, insert the id and do the work in one transaction."""
        stored = self.inbox / f"{webhook_id}.json"
        if stored.exists():
            return  # delivered before: at least once means sometimes twice
        with tempfile.NamedTemporaryFile(dir=self.inbox, delete=False) as part:
            part.write(body)
        Path(part.name).replace(stored)
        notification = json.loads(body)
        job = notification["data"]["job"]
        self.log_message("%s %s %s", notification["type"], job["id"], [output["url"] for output in job["outputs"]])

    def answer(self, status: int) -> None:
        """Response without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    Receiver.inbox.mkdir(parents=True, exist_ok=True)
    address = ("127.0.0.1", int(os.environ.get("PORT", "9100")))
    sys.stderr.write(f"listening on http://{address[0]}:{address[1]}\n")
    http.server.ThreadingHTTPServer(address, Receiver).serve_forever()
