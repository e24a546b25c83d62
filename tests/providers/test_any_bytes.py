"""Parsers raise only the exceptions of `providers.errors`, whatever bytes they read; readers of results never raise."""

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.records import JobError, Outcome
from providers.errors import InputRefused, Malformed, Unverified
from providers.fal import polling as fal
from providers.fal.callbacks import SignedHeaders, parse_callback, read_headers, verify_signature
from providers.fal.files import find_outputs
from providers.fal.inputs import INPUTS as FAL_INPUTS
from providers.fal.inputs import check_input as check_fal_input
from providers.fal.keys import parse_jwks
from providers.fal.submission import parse_submission as parse_fal_submission
from providers.heygen.inputs import INPUTS as HEYGEN_INPUTS
from providers.heygen.inputs import check_input as check_heygen_input
from providers.heygen.polling import parse_status as parse_heygen_status
from providers.heygen.submission import parse_submission as parse_heygen_submission
from providers.heygen.sunset import sunset_warning
from providers.http import CancelResult, Ended, PollResult, Request, Response, SubmitResult

# Generating such trees can be slow on a loaded machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = [
    "request_id",
    "gateway_request_id",
    "status",
    "payload",
    "payload_error",
    "error",
    "error_type",
    "detail",
    "loc",
    "msg",
    "type",
    "url",
    "status_url",
    "response_url",
    "cancel_url",
    "data",
    "execution_id",
    "output",
    "outputs",
    "video",
    "video_url",
    "code",
    "message",
    "success",
    "keys",
    "x",
    "kty",
    "crv",
    "content_type",
    "file_name",
    "file_size",
    "width",
    "height",
    "processing_time_ms",
    "warning",
]
VALUES = [
    "OK",
    "ERROR",
    "COMPLETED",
    "IN_QUEUE",
    "NOT_FOUND",
    "completed",
    "failed",
    "not_found",
    "https://a.example/b",
    "https://[",
    "https://a:b",
    "https://queue.fal.run/x",
    "Ed25519",
    "OKP",
    "R",
]

names = st.sampled_from(WORDS) | st.text(max_size=5)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20) | st.sampled_from(VALUES)
)  # fmt: skip
trees = st.recursive(leaves, lambda kids: st.lists(kids, max_size=4) | st.dictionaries(names, kids, max_size=6))
bodies = st.binary(max_size=200) | trees.map(msgspec.json.encode)
header_names = st.sampled_from(
    [
        "retry-after",
        "x-fal-error-type",
        "x-fal-needs-retry",
        "x-fal-request-timeout-type",
        "deprecation",
        "sunset",
        "warning",
    ]
)
statuses = st.integers(100, 599) | st.sampled_from([200, 400, 404, 422, 500])
responses = st.builds(
    Response, status=statuses, headers=st.dictionaries(header_names, st.text(max_size=20), max_size=3), body=bodies
)
SIGNED = [f"x-fal-webhook-{name}".encode() for name in ("request-id", "user-id", "timestamp", "signature")]
HEADERS = SignedHeaders(request_id="R", user_id="U", timestamp="1", signature=bytes(64))
RESULT_REQUEST = Request(method="GET", url="https://queue.fal.run/a/b/requests/R", headers={})
HOSTILE = [
    b"[" * 5000 + b"]" * 5000,
    b'{"data":' * 5000 + b"1" + b"}" * 5000,
    b'{"keys":[{"x":' + b"[" * 5000 + b"]" * 5000 + b"}]}",
    b'{"request_id":"R","status":"OK","payload":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"request_id":' + b"1" * 5000 + b"}",
    b'{"status":"\xff"}',
    b'{"status":"\\udc00aaaaaa"}',
    b'{"video":{"url":"https://[::1"},"n":NaN}',
]


def utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def refused_field(check: Callable[..., None], model: str, fields: dict[str, object]) -> str | None:
    try:
        check(model, fields)
    except InputRefused as error:
        return f"{error.field}."[:200]
    return None


def check_outcome(outcome: Outcome) -> None:
    """Check that the ledger can store an outcome: everything can be encoded, and the fingerprint computed."""
    assert len(outcome.fingerprint) == 32
    assert b"\\u0000" not in msgspec.json.encode(outcome)
    if outcome.error is not None:
        check_error(outcome.error)


def check_error(error: JobError) -> None:
    assert 0 < len(error.message) <= 1000
    assert 0 < len(error.code) <= 100


def read_every_way(response: Response) -> None:
    submissions = parse_fal_submission(response, queue_url="https://queue.fal.run"), parse_heygen_submission(response)
    for submitted in submissions:
        assert isinstance(submitted, SubmitResult)
        if hasattr(submitted, "error"):
            check_error(submitted.error)
    polls = fal.parse_status(response, RESULT_REQUEST), fal.parse_result(response), parse_heygen_status(response)
    for polled in polls:
        assert isinstance(polled, PollResult)
        if isinstance(polled, Ended):
            check_outcome(polled.outcome)
    assert isinstance(fal.parse_cancel(response), CancelResult)
    assert "HEYGEN_API_URL" in (sunset_warning(response) or "HEYGEN_API_URL")


def read_as_callback_and_keys(body: bytes) -> None:
    with contextlib.suppress(Unverified, Malformed):
        assert parse_callback(body, HEADERS).request_id == "R"
    with contextlib.suppress(Malformed):
        assert parse_jwks(body)


@unhurried
@given(responses)
def test_every_response_is_read(response: Response) -> None:
    read_every_way(response)


@unhurried
@given(bodies)
def test_every_body_is_read_or_refused(body: bytes) -> None:
    read_as_callback_and_keys(body)


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("status", [200, 202, 400, 404, 422, 429, 500, 502])
def test_hostile_bodies_are_read_or_refused(body: bytes, status: int) -> None:
    read_every_way(Response(status=status, body=body))
    read_as_callback_and_keys(body)


@unhurried
@given(trees, st.sampled_from(["OK", "ERROR"]), leaves)
def test_every_callback_has_an_outcome_unless_its_payload_is_null(payload: object, status: str, error: object) -> None:
    body = msgspec.json.encode({"request_id": "R", "status": status, "payload": payload, "error": error})
    outcome = parse_callback(body, HEADERS).outcome
    assert (outcome is None) == (status == "OK" and payload is None)
    if outcome is not None:
        check_outcome(outcome)


@unhurried
@given(st.recursive(st.text(), lambda kids: st.lists(kids, max_size=3) | st.dictionaries(names, kids, max_size=4)))
def test_every_found_output_can_be_fingerprinted(payload: object) -> None:
    check_outcome(Outcome.completed(find_outputs(payload).outputs))


@unhurried
@given(st.lists(st.tuples(st.binary() | st.sampled_from(SIGNED), st.binary()), max_size=6))
def test_every_list_of_headers_is_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Unverified):
        read_headers(pairs)


@unhurried
@given(st.tuples(*[st.text(max_size=210).map(utf8) | st.binary(max_size=210)] * 4))
def test_every_value_of_the_signed_headers_is_read_or_refused(values: tuple[bytes, ...]) -> None:
    try:
        headers = read_headers(zip(SIGNED, values, strict=True))
        verify_signature(headers, hashlib.sha256(b"").hexdigest(), [])
    except Unverified:
        return
    raise AssertionError("generated headers must not verify")


@unhurried
@given(
    st.sampled_from([*FAL_INPUTS, "a/b"]),
    st.dictionaries(
        st.sampled_from([f for kind in FAL_INPUTS.values() for f in kind.__struct_fields__]) | names, trees
    ),
)
def test_every_fal_input_passes_or_is_refused_by_field(model: str, fields: dict[str, Any]) -> None:
    field = refused_field(check_fal_input, model, fields)
    assert field is None or 0 < len(field) <= 200


@unhurried
@given(
    st.sampled_from([*HEYGEN_INPUTS, "Other"]),
    st.dictionaries(st.sampled_from(["source_image_url", "target_video_url", "avatar", "audio_list"]) | names, trees),
)
def test_every_heygen_input_passes_or_is_refused_by_field(model: str, fields: dict[str, Any]) -> None:
    field = refused_field(check_heygen_input, model, fields)
    assert field is None or 0 < len(field) <= 200
