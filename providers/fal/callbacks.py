"""fal's callbacks: verified in steps, the cheapest first, and only then read.

The receiver calls, in this order: `read_headers`, `check_account`, `check_timestamp`, `verify_signature`,
`parse_callback`. Each raises `Unverified` with one reason. A signature proves that fal sent it, not that it is for
this account: pin the user id.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import nacl.exceptions
from nacl.bindings import crypto_sign_open
from nacl.signing import VerifyKey

from ledger.records import Outcome
from providers.errors import Malformed, NoKeyMatches, Reason, Unverified
from providers.fal.failures import end_with, read_failure
from providers.fal.files import read_completion
from providers.reading import read_id, read_json, read_text

# https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
_SIGNED = {
    b"x-fal-webhook-request-id": "request_id",
    b"x-fal-webhook-user-id": "user_id",
    b"x-fal-webhook-timestamp": "timestamp",
    b"x-fal-webhook-signature": "signature",
}
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{128}")


class SignedHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The four headers of a callback, well-formed but not yet believed. `timestamp` is the text that was signed."""

    request_id: str
    user_id: str
    timestamp: str
    signature: bytes


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified callback says. `outcome` is None when the result has to be fetched."""

    request_id: str
    gateway_request_id: str | None = None
    outcome: Outcome | None = None


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> SignedHeaders:
    """Pick the four signed headers out of raw pairs, as ASGI gives them; `Unverified` unless each is there once.

    Names are in lower case, as ASGI session: https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name in _SIGNED:
            field = _SIGNED[name]
            if field in found:
                raise Unverified(Reason.HEADER_DOUBLED)
            found[field] = value.decode("latin-1")
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


def check_account(headers: SignedHeaders, pinned: str | None) -> None:
    """Raise `Unverified` when an account is pinned and the callback is for another."""
    if pinned is not None and headers.user_id != pinned:
        raise Unverified(Reason.OTHER_ACCOUNT)


def check_timestamp(headers: SignedHeaders, now: int, tolerance_seconds: int) -> None:
    """Raise `Unverified` when it was sent more than the tolerance ago, or ahead. `now` is ms since the epoch."""
    # Whole seconds on both sides, as fal counts them.
    age = now // 1000 - int(headers.timestamp)
    if age > tolerance_seconds:
        raise Unverified(Reason.TIMESTAMP_TOO_OLD)
    if age < -tolerance_seconds:
        raise Unverified(Reason.TIMESTAMP_AHEAD)


def verify_signature(headers: SignedHeaders, body: bytes, keys: Sequence[VerifyKey]) -> None:
    """Raise `NoKeyMatches` unless one of the keys signed these headers and exactly these bytes."""
    # No key id is sent, so each is tried. https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
    digest = hashlib.sha256(body).hexdigest()
    message = f"{headers.request_id}\n{headers.user_id}\n{headers.timestamp}\n{digest}".encode()
    signed = headers.signature + message
    for key in keys:
        try:
            crypto_sign_open(signed, bytes(key))
        except (nacl.exceptions.BadSignatureError, nacl.exceptions.ValueError):
            continue
        return
    raise NoKeyMatches


class _Envelope(msgspec.Struct):
    request_id: str
    status: str
    gateway_request_id: Any = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None
    payload_error: Any = None


_DECODER = msgspec.json.Decoder(_Envelope)


def parse_callback(body: bytes, headers: SignedHeaders) -> Callback:
    """Read what a verified callback says; `Unverified` when it is no callback or is about another request."""
    told = _decode(body)
    if told.request_id != headers.request_id:
        raise Unverified(Reason.REQUEST_ID_DIFFERS)
    if told.status not in {"OK", "ERROR"}:
        raise Unverified(Reason.BODY_MALFORMED)
    return Callback(
        request_id=told.request_id,
        gateway_request_id=read_id(told.gateway_request_id),
        outcome=_read_outcome(told),
    )


def _decode(body: bytes) -> _Envelope:
    try:
        return _DECODER.decode(body)
    except (msgspec.ValidationError, RecursionError) as error:
        raise Unverified(Reason.BODY_MALFORMED) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unverified(Reason.BODY_NOT_JSON) from error


def _read_outcome(told: _Envelope) -> Outcome | None:
    try:
        payload = read_json(told.payload)
    except Malformed:
        payload = None
    if told.status == "ERROR":
        return end_with(read_failure(payload, text=read_text(told.error)))
    if payload is None or told.payload_error:
        return None
    return read_completion(payload)
