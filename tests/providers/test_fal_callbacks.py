import hashlib
from collections.abc import Callable, Mapping

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import VerifyKey

from providers.errors import Malformed, NoKeyMatches, Reason, Unverified
from providers.fal.callbacks import (
    FalWebhook,
    SignedHeaders,
    check_account,
    check_timestamp,
    parse_callback,
    published_keys,
    read_headers,
    verify_signature,
)
from providers.fal.keys import parse_jwks
from tests.providers.samples import SAMPLES, describe_outcome, names_of_samples

GOOD = {
    "x-fal-webhook-request-id": "R",
    "x-fal-webhook-user-id": "user-1",
    "x-fal-webhook-timestamp": "1767225600",
    "x-fal-webhook-signature": "ab" * 64,
}
SENT = 1767225600

OUTCOMES = {
    "ok": "completed 1",
    "ok-null-payload": "fetch",
    "ok-no-payload": "fetch",
    "ok-payload-error": "fetch",
    "ok-payload-and-payload-error": "fetch",
    "error-detail": "failed input face_detection_error",
    "error-bare-422": "failed input http_422",
    "error-bare-500": "failed provider http_500 retryable",
    "error-typed": "failed provider startup_timeout retryable",
    "error-silent": "failed provider unexplained",
    "error-cancelled": "canceled",
}


def raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI gives them. A lone surrogate stands for bytes that are no text."""
    return [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers.items()]


def headers_with(**changes: str) -> SignedHeaders:
    return read_headers(raw(GOOD | {f"x-fal-webhook-{name}": value for name, value in changes.items()}))


def refusal(act: Callable[[], object]) -> Reason:
    with pytest.raises(Unverified) as caught:
        act()
    return caught.value.reason


class Signer:
    """Signs as fal does, with another library than the one that verifies."""

    def __init__(self, seed: bytes = bytes(32)) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verify_key = VerifyKey(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(
        self, body: bytes, request_id: str = "R", user_id: str = "user-1", timestamp: str = str(SENT)
    ) -> SignedHeaders:
        lines = [request_id, user_id, timestamp, hashlib.sha256(body).hexdigest()]
        signature = self._key.sign("\n".join(lines).encode())
        return SignedHeaders(request_id=request_id, user_id=user_id, timestamp=timestamp, signature=signature)


def test_a_signed_vector_is_verified_and_read() -> None:
    vector = msgspec.json.decode((SAMPLES / "fal/signed-vector.json").read_bytes())
    body = vector["body"].encode()
    names = ("request_id", "user_id", "timestamp", "signature")
    headers = read_headers(raw({f"x-fal-webhook-{name.replace('_', '-')}": vector[name] for name in names}))
    keys = parse_jwks(msgspec.json.encode({"keys": [{"x": vector["jwk_x"]}]}))
    verify_signature(headers, hashlib.sha256(body).hexdigest(), keys)
    assert hashlib.sha256(body).hexdigest() == vector["body_sha256"]
    assert Signer(bytes.fromhex(vector["seed_hex"])).sign(body, "req-1") == headers
    callback = parse_callback(body, headers)
    assert callback.request_id == "req-1"
    assert callback.outcome is not None
    assert describe_outcome(callback.outcome) == "completed 1"


@pytest.mark.parametrize("name", GOOD)
def test_each_signed_header_must_have_one_value(name: str) -> None:
    rest = [pair for pair in raw(GOOD) if pair[0] != name.encode()]
    assert refusal(lambda: read_headers(rest)) is Reason.HEADER_MISSING
    twice = [*raw(GOOD), *raw({name: f" {GOOD[name]}\t"})]
    assert read_headers(twice) == read_headers(raw(GOOD))
    another = [*raw(GOOD), *raw({name: "another"})]
    assert refusal(lambda: read_headers(another)) is Reason.HEADER_DOUBLED


def test_signed_headers_are_found_in_any_order_among_others() -> None:
    expected = read_headers(raw(GOOD))
    assert read_headers([(b"host", b"\xff"), *reversed(raw(GOOD)), (b"x-fal-webhook-", b"")]) == expected
    assert (expected.request_id, expected.user_id, expected.timestamp) == ("R", "user-1", str(SENT))
    assert expected.signature == b"\xab" * 64


@pytest.mark.parametrize("name", GOOD)
def test_header_names_are_matched_in_lower_case_as_asgi_gives_them(name: str) -> None:
    upper = [(each.upper() if each == name.encode() else each, value) for each, value in raw(GOOD)]
    assert refusal(lambda: read_headers(upper)) is Reason.HEADER_MISSING
    assert read_headers([*raw(GOOD), (name.upper().encode(), b"another")]) == read_headers(raw(GOOD))


@pytest.mark.parametrize("wrong", ["", " ", "a b", "a\nb", "a\r", "é", "\u0661", "\ud800", "x" * 201, ".."])
@pytest.mark.parametrize("name", ["x-fal-webhook-request-id", "x-fal-webhook-user-id"])
def test_an_id_that_is_not_one_visible_word_is_refused(name: str, wrong: str) -> None:
    assert refusal(lambda: read_headers(raw(GOOD | {name: wrong}))) is Reason.HEADER_MALFORMED


@pytest.mark.parametrize(
    "wrong", ["", "ab" * 63, "ab" * 65, "ab" * 63 + "g0", "ab" * 63 + " a", "\u0660" * 128, "0x" + "ab" * 63]
)
def test_a_signature_is_128_hexadecimal_digits(wrong: str) -> None:
    assert refusal(lambda: headers_with(signature=wrong)) is Reason.SIGNATURE_MALFORMED


@pytest.mark.parametrize("wrong", ["", "-1", "+1", "1.5", "1e9", "1_000", "1 1", "1\n", "²", "٣", "9" * 13, "soon"])
def test_a_timestamp_is_1_to_12_decimal_digits(wrong: str) -> None:
    assert refusal(lambda: headers_with(timestamp=wrong)) is Reason.TIMESTAMP_MALFORMED


def test_another_account_is_refused_only_when_a_user_id_is_configured() -> None:
    headers = headers_with()
    check_account(headers, None)
    check_account(headers, "user-1")
    assert refusal(lambda: check_account(headers, "user-2")) is Reason.OTHER_ACCOUNT
    assert refusal(lambda: check_account(headers, "")) is Reason.OTHER_ACCOUNT


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_timestamp_within_the_tolerance_is_accepted(seconds: int) -> None:
    check_timestamp(headers_with(), (SENT + seconds) * 1000, 300)


@pytest.mark.parametrize(
    ("seconds", "reason"), [(301, Reason.TIMESTAMP_TOO_OLD), (-301, Reason.TIMESTAMP_AHEAD)], ids=["old", "ahead"]
)
def test_a_timestamp_beyond_the_tolerance_is_refused(seconds: int, reason: Reason) -> None:
    assert refusal(lambda: check_timestamp(headers_with(), (SENT + seconds) * 1000, 300)) is reason


def test_any_of_the_keys_may_have_signed() -> None:
    first, second = Signer(b"1" * 32), Signer(b"2" * 32)
    verify_signature(second.sign(b"body"), hashlib.sha256(b"body").hexdigest(), [first.verify_key, second.verify_key])


@pytest.mark.parametrize("keys", [[], [Signer(b"2" * 32).verify_key]], ids=["no key", "another key"])
def test_without_the_key_nothing_verifies(keys: list[VerifyKey]) -> None:
    headers = Signer(b"1" * 32).sign(b"body")
    with pytest.raises(NoKeyMatches):
        verify_signature(headers, hashlib.sha256(b"body").hexdigest(), keys)


def test_a_key_of_small_order_verifies_nothing() -> None:
    forged = SignedHeaders(request_id="R", user_id="U", timestamp="1", signature=b"\x01" + bytes(63))
    with pytest.raises(NoKeyMatches):
        verify_signature(forged, hashlib.sha256(b"body").hexdigest(), [VerifyKey(b"\x01" + bytes(31))])


@pytest.mark.parametrize("field", ["request_id", "user_id", "timestamp", "signature", "body"])
def test_a_change_of_any_signed_part_is_refused(field: str) -> None:
    signer = Signer()
    headers, body = signer.sign(b"body"), b"body"
    if field == "body":
        body += b" "
    elif field == "signature":
        headers = msgspec.structs.replace(headers, signature=bytes([headers.signature[0] ^ 1]) + headers.signature[1:])
    else:
        headers = msgspec.structs.replace(headers, **{field: getattr(headers, field) + "0"})
    with pytest.raises(NoKeyMatches) as caught:
        verify_signature(headers, hashlib.sha256(body).hexdigest(), [signer.verify_key])
    assert caught.value.reason is Reason.NO_KEY_MATCHES


@pytest.mark.parametrize("case", OUTCOMES)
def test_captured_callback_is_read(case: str) -> None:
    body = (SAMPLES / f"fal/callback-{case}.json").read_bytes()
    outcome = parse_callback(body, headers_with()).outcome
    assert ("fetch" if outcome is None else describe_outcome(outcome)) == OUTCOMES[case]


def test_every_captured_callback_has_an_expected_outcome() -> None:
    assert names_of_samples("fal/callback-") == set(OUTCOMES)


def test_an_error_keeps_the_models_message() -> None:
    body = (SAMPLES / "fal/callback-error-detail.json").read_bytes()
    outcome = parse_callback(body, headers_with()).outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error.message == "source_face_url: No face was detected"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"seed":1e999,"a":"\\ud800","b":NaN,"video":{"url":"https://a.example/1"}}',
        b'["\xff",{"url":"https://a.example/1"}]',
        b"[" * 50_000 + b'"https://a.example/1"' + b"]" * 50_000,
    ],
    ids=["numbers and surrogates", "not utf-8", "deep"],
)
def test_an_unusual_payload_is_completed_with_its_file(payload: bytes) -> None:
    body = b'\xef\xbb\xbf{"request_id":"R","status":"ok","payload":' + payload + b"}"
    outcome = parse_callback(body, headers_with()).outcome
    assert outcome is not None
    assert [output.url for output in outcome.outputs] == ["https://a.example/1"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"<html>",
        b'{"request_id":"R","status":"OK"}x',
        b'{"request_id":"R","status":"OK","payload":' + b"[" * 900_000,
        b"[]",
        b"null",
        b"{}",
        b'{"request_id":"R"}',
        b'{"request_id":"R","status":"COMPLETED"}',
        b'{"request_id":"R","status":null}',
    ],
)
def test_a_body_that_is_no_callback_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_callback(body, headers_with())


@pytest.mark.parametrize("request_id", [None, 7, "", "a b", ["R"]])
def test_a_body_without_a_request_id_is_about_that_of_the_signed_headers(request_id: object) -> None:
    body = msgspec.json.encode({"request_id": request_id, "status": "OK", "payload": None})
    assert parse_callback(body, headers_with()).request_id == "R"


def test_header_and_body_must_name_the_same_request() -> None:
    body = b'{"request_id":"S","status":"OK","payload":{}}'
    assert refusal(lambda: parse_callback(body, headers_with())) is Reason.REQUEST_ID_DIFFERS


def test_the_webhook_checks_account_and_timestamp_with_the_headers() -> None:
    webhook = FalWebhook(user_id="user-1", tolerance_seconds=300, keys=published_keys("https://fal.example/jwks"))
    opened = webhook.open(raw(GOOD), SENT * 1000)
    assert webhook.receipt_headers(opened) == GOOD
    assert refusal(lambda: webhook.open(raw(GOOD), (SENT + 301) * 1000)) is Reason.TIMESTAMP_TOO_OLD
    other = FalWebhook(user_id="user-2", tolerance_seconds=300, keys=webhook.keys)
    assert refusal(lambda: other.open(raw(GOOD), SENT * 1000)) is Reason.OTHER_ACCOUNT
