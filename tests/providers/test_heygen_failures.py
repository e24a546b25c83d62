import pytest

from ledger.records import Fault
from providers.heygen.failures import find_error, read_error


@pytest.mark.parametrize(
    ("code", "status", "fault"),
    [
        ("invalid_parameter", 400, Fault.INPUT),
        ("download_failed", 400, Fault.INPUT),
        ("content_policy_violation", 400, Fault.INPUT),
        ("avatar_not_usable", 400, Fault.INPUT),
        ("avatar_consent_required", 400, Fault.INPUT),
        ("unauthorized", 401, Fault.ACCOUNT),
        ("insufficient_credit", 402, Fault.ACCOUNT),
        ("trial_limit_exceeded", 402, Fault.ACCOUNT),
        ("subscription_required", 402, Fault.ACCOUNT),
        ("plan_upgrade_required", 402, Fault.ACCOUNT),
        ("forbidden", 403, Fault.ACCOUNT),
        ("insufficient_api_key_scope", 403, Fault.ACCOUNT),
        ("resource_access_denied", 403, Fault.ACCOUNT),
        ("phone_verification_required", 403, Fault.ACCOUNT),
        ("voice_not_usable", 403, Fault.INPUT),
        ("voice_not_found", 404, Fault.INPUT),
        ("request_in_progress", 409, Fault.PROVIDER),
        ("resource_not_ready", 409, Fault.PROVIDER),
        ("payload_too_large", 413, Fault.INPUT),
        ("rate_limit_exceeded", 429, Fault.PROVIDER),
        ("quota_exceeded", 429, Fault.ACCOUNT),
        ("internal_error", 500, Fault.PROVIDER),
        ("service_unavailable", 503, Fault.PROVIDER),
    ],
)
def test_every_code_has_its_fault_with_and_without_its_status(code: str, status: int, fault: Fault) -> None:
    for known in (status, None):
        error = read_error({"error": {"code": code, "message": "m"}}, status=known)
        assert (error.fault, error.code, error.message) == (fault, code, "m")
        assert error.retryable == (fault is Fault.PROVIDER)


@pytest.mark.parametrize(
    "body",
    [{"error": "m"}, {"error": {"type": "t", "message": "m"}}, {"data": {"error": "m"}}, {"code": 7, "message": "m"}],
)
def test_an_error_is_found_in_each_shape(body: object) -> None:
    found = find_error(body)
    assert found is not None
    assert found.message == "m"


@pytest.mark.parametrize(
    "body", [None, [], {}, {"error": None}, {"error": {}}, {"code": 100, "data": {}, "message": "ok"}, {"code": "100"}]
)
def test_a_body_without_an_error_has_none(body: object) -> None:
    assert find_error(body) is None


@pytest.mark.parametrize("body", [None, {"error": [1]}, {"error": {"code": {}}}, {"error": {"message": "\n"}}])
def test_an_error_without_a_reason_has_a_default_message(body: object) -> None:
    assert read_error(body).message == "HeyGen failed it and gave no reason"
    assert read_error(body, status=500).message == "HeyGen answered HTTP 500 and gave no reason"


def test_messages_are_at_most_1000_characters() -> None:
    assert len(read_error({"error": "x" * 5000}).message) == 1000
