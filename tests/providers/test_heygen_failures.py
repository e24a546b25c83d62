import pytest

from ledger.records import Fault
from providers.heygen.failures import find_complaint, read_failure


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
def test_every_code_is_sorted_by_fault_with_and_without_its_status(code, status, fault):
    for known in (status, None):
        error = read_failure({"error": {"code": code, "message": "m"}}, status=known)
        assert (error.fault, error.code, error.message) == (fault, code, "m")
        assert error.retryable == (fault is Fault.PROVIDER)


@pytest.mark.parametrize(
    "told",
    [{"error": "m"}, {"error": {"type": "t", "message": "m"}}, {"data": {"error": "m"}}, {"code": 7, "message": "m"}],
)
def test_the_reason_is_found_wherever_it_stands(told):
    assert find_complaint(told).message == "m"


@pytest.mark.parametrize(
    "told", [None, [], {}, {"error": None}, {"error": {}}, {"code": 100, "data": {}, "message": "ok"}, {"code": "100"}]
)
def test_what_is_no_error_is_not_taken_for_one(told):
    assert find_complaint(told) is None


@pytest.mark.parametrize("told", [None, {"error": [1]}, {"error": {"code": {}}}, {"error": {"message": "\n"}}])
def test_a_failure_without_a_reason_still_says_something(told):
    assert read_failure(told).message == "HeyGen failed it and gave no reason"
    assert read_failure(told, status=500).message == "HeyGen answered HTTP 500 and gave no reason"


def test_messages_are_clipped():
    assert len(read_failure({"error": "x" * 5000}).message) == 1000
