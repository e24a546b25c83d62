"""fal's callbacks: signed headers, Ed25519 verification, and what the body reports.

A signature proves that fal sent a callback, not that it is for this account: set the user id.
https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import nacl.exceptions
from nacl.bindings import crypto_sign_open
from nacl.signing import VerifyKey

from ledger.records import Outcome
from providers.errors import Malformed, NoKeyMatches, Reason, Unverified
from providers.fal.failures import failed_outcome, read_error
from providers.fal.files import read_completion
from providers.fal.keys import parse_jwks
from providers.provider import Callback, PublishedKeys
from providers.reading import read_id, read_json, read_text

_SIGNED = {
    b"x-fal-webhook-request-id": "request_id",
    b"x-fal-webhook-user-id": "user_id",
    b"x-fal-webhook-timestamp": "timestamp",
    b"x-fal-webhook-signature": "signature",
}
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{128}")


class SignedHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The four headers of a callback, well-formed but not yet verified. `timestamp` is the text that was signed."""

    request_id: str
    user_id: str
    timestamp: str
    signature: bytes


class FalWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Verifies and reads fal's callbacks. With `user_id` None, callbacks of any account pass."""

    user_id: str | None
    tolerance_seconds: int
    keys: PublishedKeys[VerifyKey]

    @property
    def proves_account(self) -> bool:
        """Whether the user id is checked: a signature does not say for whose account it is."""
        return self.user_id is not None

    def open(self, headers: Iterable[tuple[bytes, bytes]], now: int) -> SignedHeaders:
        """Read the signed headers, and check the account and the timestamp."""
        signed = read_headers(headers)
        check_account(signed, self.user_id)
        check_timestamp(signed, now, self.tolerance_seconds)
        return signed

    def body_hash(self, opened: SignedHeaders) -> "hashlib._Hash":  # noqa: ARG002 - of the interface; fal has one algorithm
        """Return a SHA-256: its digest is a part of what is signed."""
        return hashlib.sha256()

    def verify(self, opened: SignedHeaders, hashed: "hashlib._Hash", keys: Sequence[VerifyKey]) -> None:
        """Check the signature with every key."""
        verify_signature(opened, hashed.hexdigest(), keys)

    def request_id(self, opened: SignedHeaders) -> str:
        """Return the request id of the headers."""
        return opened.request_id

    def parse(self, opened: SignedHeaders, body: bytes) -> Callback:
        """Read the body, which may not name another request than the headers."""
        return parse_callback(body, opened)

    def receipt_headers(self, opened: SignedHeaders) -> Mapping[str, str]:
        """Return the four headers."""
        return {
            "x-fal-webhook-request-id": opened.request_id,
            "x-fal-webhook-user-id": opened.user_id,
            "x-fal-webhook-timestamp": opened.timestamp,
            "x-fal-webhook-signature": opened.signature.hex(),
        }


def published_keys(jwks_url: str) -> PublishedKeys[VerifyKey]:
    """Return where fal's keys are."""
    return PublishedKeys(url=jwks_url, setting="FAL_JWKS_URL", read=parse_jwks)


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> SignedHeaders:
    """Read the four signed headers of raw pairs, as ASGI gives them. Raises `Unverified` unless each has one value.

    Names are in lower case: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    """
    found: dict[str, str] = {}
    for name, raw in headers:
        if name in _SIGNED:
            value = raw.strip(b" \t").decode("latin-1")  # blanks around it are no part of it: RFC 9110, 5.5
            if found.setdefault(_SIGNED[name], value) != value:
                raise Unverified(Reason.HEADER_DOUBLED)
    if len(found) < len(_SIGNED):
        raise Unverified(Reason.HEADER_MISSING)
    if read_id(found["request_id"]) is None or read_id(found["user_id"]) is None:
        raise Unverified(Reason.HEADER_MALFORMED)
    if not _SIGNATURE.fullmatch(found["signature"]):
        raise Unverified(Reason.SIGNATURE_MALFORMED)
    if not _TIMESTAMP.fullmatch(found["timestamp"]):
        raise Unverified(Reason.TIMESTAMP_MALFORMED)
    return SignedHeaders(
        request_id=found["request_id"],
        user_id=found["user_id"],
        timestamp=found["timestamp"],
        signature=bytes.fromhex(found["signature"]),
    )


def check_account(headers: SignedHeaders, user_id: str | None) -> None:
    """Raise `Unverified` when a user id is configured and the callback is for another account."""
    if user_id is not None and headers.user_id != user_id:
        raise Unverified(Reason.OTHER_ACCOUNT)


def check_timestamp(headers: SignedHeaders, now: int, tolerance_seconds: int) -> None:
    """Raise `Unverified` when the timestamp differs from `now` (ms since the epoch) by more than the tolerance."""
    # Whole seconds on both sides, as fal counts them.
    age = now // 1000 - int(headers.timestamp)
    if age > tolerance_seconds:
        raise Unverified(Reason.TIMESTAMP_TOO_OLD)
    if age < -tolerance_seconds:
        raise Unverified(Reason.TIMESTAMP_AHEAD)


def verify_signature(headers: SignedHeaders, digest: str, keys: Sequence[VerifyKey]) -> None:
    """Raise `NoKeyMatches` unless one of the keys signed these headers and the hexadecimal SHA-256 of the body."""
    # No key id is sent, so each key is tried.
    message = f"{headers.request_id}\n{headers.user_id}\n{headers.timestamp}\n{digest}".encode()
    signed = headers.signature + message
    for key in keys:
        try:
            crypto_sign_open(signed, bytes(key))
        except (nacl.exceptions.BadSignatureError, nacl.exceptions.ValueError):
            continue
        return
    raise NoKeyMatches


def parse_callback(body: bytes, headers: SignedHeaders) -> Callback:
    """Read a verified body. Raises `Malformed` when it is not a callback, `Unverified` if it is about another request.

    A body without a readable request id is about that of the headers, which are signed too.
    """
    fields = read_json(body)
    if not isinstance(fields, dict):
        raise Malformed("the callback is not an object")
    if (read_id(fields.get("request_id")) or headers.request_id) != headers.request_id:
        raise Unverified(Reason.REQUEST_ID_DIFFERS)
    return Callback(request_id=headers.request_id, outcome=_read_outcome(fields))


def _read_outcome(fields: Mapping[str, Any]) -> Outcome | None:
    status, payload = fields.get("status"), fields.get("payload")
    word = status.upper() if isinstance(status, str) else None
    if word == "ERROR":
        return failed_outcome(read_error(payload, text=read_text(fields.get("error"))))
    if word != "OK":
        raise Malformed("the callback has neither the status OK nor ERROR")
    if payload is None or fields.get("payload_error"):
        return None
    return read_completion(payload)
