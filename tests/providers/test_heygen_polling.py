import pytest

from ledger.records import JobState
from providers.heygen.polling import build_status, parse_status
from providers.http import Ended, Response, RetryLater, Unreadable
from tests.providers.samples import describe, error_of, names_of_samples, outcome_of, response_with, sample

STATUS = {
    "completed-flat": "completed 1",
    "completed-nested": "completed 1",
    "completed-graph": "completed 2",
    "completed-empty": "completed",
    "completed-bad-url": "completed",
    "submitted": "running 20s",
    "pending": "running",
    "new-word": "running",
    "failed-object": "failed provider FaceNotFound",
    "failed-text": "failed provider unexplained",
    "failed-silent": "failed provider unexplained",
    "failed-code": "failed input download_failed",
    "not-found-200": "failed provider not_found",
    "not-found-404": "failed provider not_found",
    "200-error": "failed input content_policy_violation",
    "200-flat-code": "failed input 400123",
    "200-bad-key": "retry later account 400112",
    "200-busy": "retry later provider rate_limit_exceeded",
    "404-bare": "not found",
    "404-page": "not found",
    "404-error": "not found",
    "410": "not found",
    "401": "retry later account http_401",
    "429": "retry later provider rate_limit_exceeded 12s",
    "500": "retry later provider internal_error",
    "504": "retry later provider http_504",
    "400": "retry later input 400001",
    "redirect": "retry later renderhook redirected",
    "200-page": "unreadable provider unreadable",
    "200-without-status": "unreadable provider unreadable",
}


@pytest.mark.parametrize("case", STATUS)
def test_captured_status_is_read(case: str) -> None:
    assert describe(parse_status(sample(f"heygen/status-{case}"))) == STATUS[case]


def test_every_captured_response_has_an_expected_result() -> None:
    assert names_of_samples("heygen/status-") == set(STATUS)


@pytest.mark.parametrize("case", ["completed-flat", "completed-nested"])
def test_the_video_is_found_in_both_shapes(case: str) -> None:
    (output,) = outcome_of(parse_status(sample(f"heygen/status-{case}"))).outputs
    assert output.url == "https://resource.heygen.ai/faceswap/output.mp4"


@pytest.mark.parametrize("case", ["completed-empty", "completed-bad-url"])
def test_a_completion_without_a_usable_url_has_a_warning(case: str) -> None:
    outcome = outcome_of(parse_status(sample(f"heygen/status-{case}")))
    assert outcome.warning == "HeyGen completed the job, and no file was found in its output"


@pytest.mark.parametrize(
    ("case", "message"),
    [("object", "no face in the image"), ("text", "GPU exploded"), ("silent", "HeyGen failed it and gave no reason")],
)
def test_a_failure_keeps_its_reason(case: str, message: str) -> None:
    assert error_of(parse_status(sample(f"heygen/status-failed-{case}"))).message == message


def test_a_failed_execution_with_http_400_fails_the_job() -> None:
    body = {"data": {"execution_id": "E", "status": "failed", "error": "no face"}}
    assert describe(parse_status(response_with(body, status=400))) == "failed provider unexplained"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_poll_that_failed_never_fails_the_job(status: int) -> None:
    bodies: list[dict[str, object]] = [{"status": "failed", "error": "x"}, {"data": {"status": "failed"}}]
    for body in bodies:
        assert isinstance(parse_status(response_with(body, status=status)), RetryLater)


def test_a_response_without_a_body_never_ends_a_job() -> None:
    for status in range(100, 600):
        result = parse_status(Response(status=status))
        assert isinstance(result, RetryLater | Unreadable) or status in {404, 410}, status
        assert not isinstance(result, Ended), status


def test_a_status_is_read_in_any_case() -> None:
    assert outcome_of(parse_status(response_with({"data": {"status": "COMPLETED"}}))).state is JobState.COMPLETED


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_failure_outside_of_data_is_about_the_poll(status: int) -> None:
    assert isinstance(parse_status(response_with({"status": "failed", "error": "x"}, status=status)), RetryLater)


def test_ids_are_percent_encoded_and_the_path_is_configurable() -> None:
    request = build_status(api_url="https://h.example/", execution_id="a/b?c#d", key="k")
    assert (request.method, request.url) == ("GET", "https://h.example/v1/workflows/executions/a%2Fb%3Fc%23d")
    assert request.headers["X-Api-Key"] == "k"
    assert build_status(api_url="https://h.example", execution_id="e", key="k", path="x").url == "https://h.example/x/e"
