import pytest

from ledger.records import Fault
from providers.fal.failures import read_error


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
def test_every_request_error_has_its_fault(code: str, status: int, fault: Fault, retryable: bool) -> None:
    error = read_error({"detail": "text", "error_type": code}, status=status)
    assert (error.fault, error.code, error.message, error.retryable) == (fault, code, "text", retryable)
    by_header = read_error(None, status=status, headers={"x-fal-error-type": code})
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
def test_every_model_error_about_the_input_is_the_inputs_fault(code: str) -> None:
    for status in (422, None):
        error = read_error({"detail": [{"loc": ["body", "x", 0], "msg": "no", "type": code}]}, status=status)
        assert (error.fault, error.code, error.message, error.retryable) == (Fault.INPUT, code, "x.0: no", False)


@pytest.mark.parametrize("text", ["User is locked. Reason: Exhausted balance.", "invalid key credentials"])
def test_an_empty_or_locked_account_is_the_accounts_fault_even_without_a_status(text: str) -> None:
    assert read_error({"error": text}).fault is Fault.ACCOUNT


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"detail": []}, {"detail": [7, None]}, {"detail": {}}, {"detail": ""}, {"error": {}}]
)
def test_an_error_without_a_reason_has_a_default_message(body: object) -> None:
    error = read_error(body)
    assert (error.code, error.retryable) == ("unexplained", False)
    assert error.message == "fal reported a failure and gave no reason"


def test_the_status_in_the_text_is_used() -> None:
    assert read_error(None, text="Invalid status code: 422").fault is Fault.INPUT
    assert read_error(None, text="Invalid status code: 503").retryable


def test_messages_are_one_line_of_at_most_1000_characters() -> None:
    error = read_error({"detail": "a\nb\x00c " + "x" * 5000}, status=500)
    assert error.message.startswith("a b c xxx")
    assert len(error.message) == 1000


def test_a_code_that_is_no_word_is_not_used() -> None:
    assert read_error({"detail": "d", "error_type": "a b\n"}, status=500).code == "http_500"


@pytest.mark.parametrize("header", ["x-fal-needs-retry", "x-fal-retryable"])
def test_fals_header_can_forbid_a_retry(header: str) -> None:
    body = {"detail": "d", "error_type": "internal_error"}
    assert not read_error(body, status=500, headers={header: "false"}).retryable
    assert read_error(body, status=500, headers={header: "1"}).retryable


def test_the_message_has_all_errors() -> None:
    items = [{"loc": ["body", name], "msg": "bad", "type": "t"} for name in "ab"]
    assert read_error({"detail": items}, status=422).message == "a: bad; b: bad"
