import pytest

from ledger.records import JobState
from providers.fal.polling import build_cancel, build_result, build_status, parse_cancel, parse_result, parse_status
from providers.http import CancelVerdict, Ended, Response, TryLater

QUEUE = "https://queue.fal.run"

STATUS = {
    "in-queue": "running",
    "in-progress": "running",
    "new-word": "running 4s",
    "completed": "ready",
    "completed-with-error": "failed provider request_timeout retryable",
    "completed-with-422": "failed input http_422",
    "canceled-by-client": "canceled",
    "not-found": "missing",
    "gone": "missing",
    "unauthorized": "later account http_401",
    "locked": "later account http_403",
    "429": "later provider http_429 30s",
    "500": "later provider internal_error",
    "405": "later input http_405",
    "redirect": "later us redirected",
    "200-page": "later network answer_unreadable",
    "200-without-status": "later network answer_unreadable",
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
    "not-found": "missing",
    "unauthorized": "later account http_401",
    "400-gateway": "later input http_400",
    "503-gateway": "later provider http_503",
    "429": "later provider http_429",
    "200-truncated": "later network answer_unreadable",
    "redirect": "later us redirected",
}
CANCEL = {
    "requested": "requested",
    "ok": "canceled",
    "success-true": "canceled",
    "success-false": "refused",
    "already-completed": "too_late",
    "not-found": "unknown",
    "404-page": "unknown",
    "unauthorized": "refused",
    "500": "try_later",
    "429": "try_later",
    "202-empty": "requested",
    "redirect": "refused",
}


@pytest.mark.parametrize("case", STATUS)
def test_every_captured_status_has_its_verdict(case, sample, say):
    assert say(parse_status(sample(f"fal/status-{case}"))) == STATUS[case]


@pytest.mark.parametrize("case", RESULT)
def test_every_captured_result_has_its_verdict(case, sample, say):
    assert say(parse_result(sample(f"fal/result-{case}"))) == RESULT[case]


@pytest.mark.parametrize("case", CANCEL)
def test_every_captured_cancel_has_its_verdict(case, sample):
    assert parse_cancel(sample(f"fal/cancel-{case}")) == CANCEL[case]


def test_no_captured_answer_is_left_unjudged(judged):
    judged("fal/status-", STATUS)
    judged("fal/result-", RESULT)
    judged("fal/cancel-", CANCEL)


def test_every_cancel_verdict_has_been_seen():
    assert set(CANCEL.values()) == set(CancelVerdict)


def test_a_result_keeps_what_the_model_said_about_its_file(sample):
    outcome = parse_result(sample("fal/result-video")).outcome
    (output,) = outcome.outputs
    assert (outcome.processing_time_ms, outcome.warning) == (41000, "video was truncated to 25 minutes")
    assert (output.url, output.file_name) == ("https://v3b.fal.media/files/a/b.mp4", "b.mp4")
    assert (output.content_type, output.file_size) == ("video/mp4", 1048576)


def test_a_completion_without_files_says_so(sample):
    outcome = parse_result(sample("fal/result-no-files")).outcome
    assert outcome.warning == "fal completed the job, but its output names no file"


def test_a_model_error_names_the_field_and_the_reason(sample):
    error = parse_result(sample("fal/result-model-error")).outcome.error
    assert error.message == "source_face_url: No face was detected"


def test_a_redirect_names_the_setting(sample):
    for name, parse in [("status", parse_status), ("result", parse_result)]:
        assert "FAL_QUEUE_URL" in parse(sample(f"fal/{name}-redirect")).error.message


@pytest.mark.parametrize("status", range(100, 600))
def test_a_bare_answer_never_fails_a_job_but_for_422(status):
    for parse in (parse_status, parse_result):
        verdict = parse(Response(status=status))
        failed = isinstance(verdict, Ended) and verdict.outcome.state is JobState.FAILED
        assert failed == (status == 422 and parse is parse_result)
        assert isinstance(verdict, TryLater) or status in {202, 404, 410, 422}


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
def test_urls_are_built_from_owner_and_app_only(model, app):
    base = f"{QUEUE}/{app}/requests/R%2F1"
    for build, end, method in [
        (build_status, "/status", "GET"),
        (build_result, "", "GET"),
        (build_cancel, "/cancel", "PUT"),
    ]:
        request = build(queue_url=QUEUE + "/", model=model, request_id="R/1", url=None, key="k")
        assert (request.method, request.url, request.body) == (method, base + end, b"")
        assert request.headers["Authorization"] == "Key k"


def test_a_returned_url_is_followed_as_it_is():
    url = "https://queue.fal.run/any/where?logs=1"
    for build in (build_status, build_result, build_cancel):
        assert build(queue_url=QUEUE, model="a/b/c", request_id="R", url=url, key="k").url == url
