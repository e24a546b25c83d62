import pytest

from providers.fal.polling import build_cancel, build_result, build_status, parse_cancel, parse_result
from providers.fal.polling import parse_status as parse_status_with
from providers.http import AskNext, CancelResult, PollResult, Request, Response, RetryLater, Unreadable
from tests.providers.samples import describe, error_of, failed, names_of_samples, outcome_of, response_with, sample

QUEUE = "https://queue.fal.run"
RESULT_REQUEST = Request(method="GET", url=f"{QUEUE}/a/b/requests/R", headers={})

STATUS = {
    "in-queue": "running",
    "in-progress": "running",
    "new-word": "running 4s",
    "completed": "ask next",
    "completed-with-error": "failed provider request_timeout retryable",
    "completed-with-422": "failed input http_422",
    "canceled-by-client": "canceled",
    "not-found": "not found",
    "gone": "not found",
    "unauthorized": "retry later account http_401",
    "locked": "retry later account http_403",
    "429": "retry later provider http_429 30s",
    "500": "retry later provider internal_error",
    "405": "retry later input http_405",
    "redirect": "retry later renderhook redirected",
    "200-page": "unreadable provider unreadable",
    "200-without-status": "unreadable provider unreadable",
}
RESULT = {
    "video": "completed 1",
    "images": "completed 2",
    "no-files": "completed",
    "null": "completed",
    "model-error": "failed input face_detection_error",
    "no-media": "failed input no_media_generated",
    "model-500": "failed provider internal_server_error retryable",
    "generation-timeout": "failed provider generation_timeout retryable",
    "downstream-400": "failed provider downstream_service_error retryable",
    "model-403": "failed input content_policy_violation",
    "runner-disconnected": "failed provider runner_disconnected retryable",
    "header-only": "failed provider runner_incomplete_response retryable",
    "500-never-retry": "failed provider runner_server_error",
    "startup-timeout": "failed provider startup_timeout retryable",
    "client-cancelled": "canceled",
    "still-in-progress": "running",
    "still-in-queue-as-status": "running",
    "202-empty": "running",
    "not-found": "not found",
    "unauthorized": "retry later account http_401",
    "400-gateway": "retry later input http_400",
    "503-gateway": "retry later provider http_503",
    "429": "retry later provider http_429",
    "200-truncated": "unreadable provider unreadable ended",
    "redirect": "retry later renderhook redirected",
}
CANCEL = {
    "requested": "requested",
    "ok": "canceled",
    "success-true": "canceled",
    "success-false": "refused",
    "already-completed": "too_late",
    "not-found": "not_found",
    "404-page": "not_found",
    "unauthorized": "refused",
    "500": "retry_later",
    "429": "retry_later",
    "202-empty": "requested",
    "redirect": "refused",
}


def parse_status(response: Response) -> PollResult:
    return parse_status_with(response, RESULT_REQUEST)


@pytest.mark.parametrize("case", STATUS)
def test_captured_status_is_read(case: str) -> None:
    assert describe(parse_status(sample(f"fal/status-{case}"))) == STATUS[case]


@pytest.mark.parametrize("case", RESULT)
def test_captured_result_is_read(case: str) -> None:
    assert describe(parse_result(sample(f"fal/result-{case}"))) == RESULT[case]


@pytest.mark.parametrize("case", CANCEL)
def test_captured_cancel_is_read(case: str) -> None:
    assert parse_cancel(sample(f"fal/cancel-{case}")) == CANCEL[case]


def test_every_captured_response_has_an_expected_result() -> None:
    assert names_of_samples("fal/status-") == set(STATUS)
    assert names_of_samples("fal/result-") == set(RESULT)
    assert names_of_samples("fal/cancel-") == set(CANCEL)


def test_every_cancel_result_occurs_in_a_captured_response() -> None:
    assert set(CANCEL.values()) == set(CancelResult)


def test_a_completed_status_asks_for_the_result_next() -> None:
    result = parse_status(sample("fal/status-completed"))
    assert isinstance(result, AskNext)
    assert result.request is RESULT_REQUEST
    assert describe(result.read(sample("fal/result-video"))) == "completed 1"


def test_a_result_keeps_the_models_description_of_its_file() -> None:
    outcome = outcome_of(parse_result(sample("fal/result-video")))
    (output,) = outcome.outputs
    assert (outcome.processing_time_ms, outcome.warning) == (41000, "video was truncated to 25 minutes")
    assert (output.url, output.file_name) == ("https://v3b.fal.media/files/a/b.mp4", "b.mp4")
    assert (output.content_type, output.file_size) == ("video/mp4", 1048576)


def test_a_completion_without_files_has_a_warning() -> None:
    outcome = outcome_of(parse_result(sample("fal/result-no-files")))
    assert outcome.warning == "fal completed the job, and no file was found in its output"


def test_a_model_error_names_the_field_and_the_reason() -> None:
    error = error_of(parse_result(sample("fal/result-model-error")))
    assert error.message == "source_face_url: No face was detected"


def test_a_redirect_names_the_setting() -> None:
    for name, parse in [("status", parse_status), ("result", parse_result)]:
        assert "FAL_QUEUE_URL" in error_of(parse(sample(f"fal/{name}-redirect"))).message


def test_a_response_without_a_body_never_fails_a_job_except_for_a_result_of_422() -> None:
    for status in range(100, 600):
        for parse in (parse_status, parse_result):
            result = parse(Response(status=status))
            assert failed(result) == (status == 422 and parse is parse_result), status
            assert isinstance(result, RetryLater | Unreadable) or status in {202, 404, 410, 422}, status


def test_a_body_of_null_is_a_result_without_files() -> None:
    assert describe(parse_result(response_with(None))) == "completed"


@pytest.mark.parametrize(
    ("model", "app"),
    [
        ("half-moon-ai/ai-face-swap/faceswapvideo", "half-moon-ai/ai-face-swap"),
        ("fal-ai/flux", "fal-ai/flux"),
        ("fal-ai/flux/dev/image-to-image", "fal-ai/flux"),
        ("workflows/me/swap", "workflows/me/swap"),
        ("workflows/me/swap/deep/er", "workflows/me/swap"),
        ("comfy/me/graph/run", "comfy/me/graph"),
        ("12345-appname", "12345/appname"),
    ],
)
def test_urls_are_built_from_owner_and_app_only(model: str, app: str) -> None:
    base = f"{QUEUE}/{app}/requests/R%2F1"
    for build, end, method in [
        (build_status, "/status", "GET"),
        (build_result, "", "GET"),
        (build_cancel, "/cancel", "PUT"),
    ]:
        request = build(queue_url=QUEUE + "/", model=model, request_id="R/1", url=None, key="k")
        assert (request.method, request.url, request.body) == (method, base + end, b"")
        assert request.headers["Authorization"] == "Key k"


def test_a_returned_url_is_used_unchanged() -> None:
    url = "https://queue.fal.run/any/where?logs=1"
    for build in (build_status, build_result, build_cancel):
        assert build(queue_url=QUEUE, model="a/b/c", request_id="R", url=url, key="k").url == url
