import pytest

from ledger.records import Fault
from providers.fal.failures import read_failure


@pytest.mark.parametrize(
    ("code", "status", "fault", "retryable"),
    [
        ("request_timeout", 504, Fault.PROVIDER, True),
        ("startup_timeout", 504, Fault.PROVIDER, True),
        ("runner_scheduling_failure", 503, Fault.PROVIDER, True),
        ("runner_connection_timeout", 503, Fault.PROVIDER, True),
        ("runner_disconnected", 503, Fault.PROVIDER, True),
        ("runner_connection_refused", 503, Fault.PROVIDER, True),
        ("runner_connection_error", 503, Fault.PROVIDER, True),
        ("runner_incomplete_response", 502, Fault.PROVIDER, True),
        ("runner_server_error", 500, Fault.PROVIDER, True),
        ("internal_error", 500, Fault.PROVIDER, True),
        ("client_disconnected", 499, Fault.PROVIDER, True),
        ("bad_request", 400, Fault.INPUT, False),
    ],
)
def test_every_request_error_is_sorted_by_fault(code, status, fault, retryable):
    error = read_failure({"detail": "text", "error_type": code}, status=status)
    assert (error.fault, error.code, error.message, error.retryable) == (fault, code, "text", retryable)
    by_header = read_failure(None, status=status, headers={"x-fal-error-type": code})
    assert (by_header.fault, by_header.code) == (fault, code)


@pytest.mark.parametrize(
    "code",
    [
        "content_policy_violation",
        "no_media_generated",
        "image_too_small",
        "image_too_large",
        "image_load_error",
        "file_download_error",
        "face_detection_error",
        "file_too_large",
        "unsupported_video_format",
        "video_duration_too_long",
        "value_error",
    ],
)
def test_every_model_error_about_the_input_is_the_inputs_fault(code):
    for status in (422, None):
        error = read_failure({"detail": [{"loc": ["body", "x", 0], "msg": "no", "type": code}]}, status=status)
        assert (error.fault, error.code, error.message, error.retryable) == (Fault.INPUT, code, "x.0: no", False)


@pytest.mark.parametrize("text", ["User is locked. Reason: Exhausted balance.", "invalid key credentials"])
def test_an_empty_or_locked_account_is_the_accounts_fault_even_without_a_status(text):
    assert read_failure({"error": text}).fault is Fault.ACCOUNT


@pytest.mark.parametrize(
    "said", [None, [], "x", {}, {"detail": []}, {"detail": [7, None]}, {"detail": {}}, {"detail": ""}, {"error": {}}]
)
def test_a_failure_without_a_reason_still_says_something(said):
    error = read_failure(said)
    assert (error.code, error.retryable) == ("unexplained", False)
    assert error.message == "fal reported a failure and gave no reason"


def test_the_status_hidden_in_the_text_counts():
    assert read_failure(None, text="Invalid status code: 422").fault is Fault.INPUT
    assert read_failure(None, text="Invalid status code: 503").retryable


def test_messages_are_clipped_to_one_line():
    error = read_failure({"detail": "a\nb\x00c " + "x" * 5000}, status=500)
    assert error.message.startswith("a b c xxx")
    assert len(error.message) == 1000


def test_a_code_that_is_no_word_is_not_used():
    assert read_failure({"detail": "d", "error_type": "a b\n"}, status=500).code == "http_500"


@pytest.mark.parametrize("header", ["x-fal-needs-retry", "x-fal-retryable"])
def test_fal_may_forbid_another_try(header):
    told = {"detail": "d", "error_type": "internal_error"}
    assert not read_failure(told, status=500, headers={header: "false"}).retryable
    assert read_failure(told, status=500, headers={header: "1"}).retryable


def test_several_complaints_are_all_told():
    items = [{"loc": ["body", name], "msg": "bad", "type": "t"} for name in "ab"]
    assert read_failure({"detail": items}, status=422).message == "a: bad; b: bad"
