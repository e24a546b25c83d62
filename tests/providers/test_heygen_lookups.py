import pytest

from ledger.records import JobState
from providers.heygen.polling import build_status, parse_status
from providers.http import Ended, Response, TryLater

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
    "200-bad-key": "later account 400112",
    "200-busy": "later provider rate_limit_exceeded",
    "404-bare": "missing",
    "404-page": "missing",
    "404-error": "missing",
    "410": "missing",
    "401": "later account http_401",
    "429": "later provider rate_limit_exceeded 12s",
    "500": "later provider internal_error",
    "504": "later provider http_504",
    "400": "later input 400001",
    "redirect": "later us redirected",
    "200-page": "later network answer_unreadable",
    "200-without-status": "later network answer_unreadable",
}


@pytest.mark.parametrize("case", STATUS)
def test_every_captured_status_has_its_verdict(case, sample, say):
    assert say(parse_status(sample(f"heygen/status-{case}"))) == STATUS[case]


def test_no_captured_status_is_left_unjudged(judged):
    judged("heygen/status-", STATUS)


@pytest.mark.parametrize("case", ["completed-flat", "completed-nested"])
def test_the_video_is_found_in_both_shapes(case, sample):
    (output,) = parse_status(sample(f"heygen/status-{case}")).outcome.outputs
    assert output.url == "https://resource.heygen.ai/faceswap/output.mp4"


@pytest.mark.parametrize("case", ["completed-empty", "completed-bad-url"])
def test_a_completion_without_a_usable_url_says_so(case, sample):
    outcome = parse_status(sample(f"heygen/status-{case}")).outcome
    assert outcome.warning == "HeyGen completed the execution, but its output has no usable URL"


@pytest.mark.parametrize(
    ("case", "message"),
    [("object", "no face in the image"), ("text", "GPU exploded"), ("silent", "HeyGen failed it and gave no reason")],
)
def test_a_failure_keeps_its_reason(case, message, sample):
    assert parse_status(sample(f"heygen/status-failed-{case}")).outcome.error.message == message


def test_a_failed_execution_told_with_http_400_is_still_about_the_job(answer_with, say):
    told = {"data": {"execution_id": "E", "status": "failed", "error": "no face"}}
    assert say(parse_status(answer_with(told, status=400))) == "failed provider unexplained"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_failed_question_never_fails_the_job(status, answer_with):
    for told in ({"status": "failed", "error": "x"}, {"data": {"status": "failed"}}):
        assert isinstance(parse_status(answer_with(told, status=status)), TryLater)


@pytest.mark.parametrize("status", range(100, 600))
def test_a_bare_answer_ends_nothing(status):
    verdict = parse_status(Response(status=status))
    assert not isinstance(verdict, Ended)
    assert isinstance(verdict, TryLater) or status in {404, 410}


def test_words_are_read_in_any_case(answer_with):
    assert parse_status(answer_with({"data": {"status": "COMPLETED"}})).outcome.state is JobState.COMPLETED


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_failure_without_data_around_it_speaks_of_the_question(status, answer_with):
    assert isinstance(parse_status(answer_with({"status": "failed", "error": "x"}, status=status)), TryLater)


def test_ids_are_percent_encoded_and_the_path_may_move():
    request = build_status(api_url="https://h.example/", execution_id="a/b?c#d", key="k")
    assert (request.method, request.url) == ("GET", "https://h.example/v1/workflows/executions/a%2Fb%3Fc%23d")
    assert request.headers["X-Api-Key"] == "k"
    assert build_status(api_url="https://h.example", execution_id="e", key="k", path="x").url == "https://h.example/x/e"
