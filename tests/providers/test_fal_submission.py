from urllib.parse import parse_qs, urlsplit

import pytest

from providers.fal.submission import build_submission, parse_submission
from providers.http import Refused, Response, Submitted, TryLater, Unclear

QUEUE = "https://queue.fal.run"
MODEL = "half-moon-ai/ai-face-swap/faceswapvideo"

VERDICTS = {
    "accepted": "submitted R",
    "accepted-with-webhook": "submitted R",
    "accepted-elsewhere": "submitted R",
    "200-without-id": "unclear network answer_unreadable",
    "200-truncated": "unclear network answer_unreadable",
    "200-page": "unclear network answer_unreadable",
    "redirect": "refused us redirected",
    "bad-key-text": "refused account http_401",
    "bad-key": "refused account http_401",
    "locked": "refused account http_403",
    "unknown-model": "refused input http_404",
    "invalid-input": "refused input missing",
    "bad-request": "refused input bad_request",
    "queue-too-long": "later provider http_429 7s",
    "concurrency": "later provider concurrent_requests_limit",
    "500": "later provider internal_error",
    "503": "later provider runner_scheduling_failure",
    "502-gateway": "unclear provider http_502",
    "504-gateway": "unclear provider http_504",
    "504-start-deadline": "later provider request_timeout",
    "524-edge": "unclear provider http_524",
}


@pytest.mark.parametrize("case", VERDICTS)
def test_every_captured_answer_has_its_verdict(case, sample, say):
    assert say(parse_submission(sample(f"fal/submit-{case}"), queue_url=QUEUE)) == VERDICTS[case]


def test_no_captured_answer_is_left_unjudged(judged):
    judged("fal/submit-", VERDICTS)


def test_the_urls_fal_returns_are_kept(sample):
    verdict = parse_submission(sample("fal/submit-accepted"), queue_url=QUEUE + "/")
    base = f"{QUEUE}/half-moon-ai/ai-face-swap/requests/R"
    assert verdict == Submitted(
        request_id="R", status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel"
    )


def test_urls_elsewhere_are_not_sent_our_key(sample):
    verdict = parse_submission(sample("fal/submit-accepted-elsewhere"), queue_url=QUEUE)
    assert verdict == Submitted(request_id="R")


@pytest.mark.parametrize("wrong", ["", "a b", "a\nb", "é", "..", "x" * 201, 7, None, ["R"]])
def test_an_id_that_cannot_be_asked_for_leaves_the_job_unclear(wrong, answer_with):
    assert isinstance(parse_submission(answer_with({"request_id": wrong}), queue_url=QUEUE), Unclear)


def test_a_redirect_names_the_setting(sample):
    verdict = parse_submission(sample("fal/submit-redirect"), queue_url=QUEUE)
    assert isinstance(verdict, Refused)
    assert "FAL_QUEUE_URL" in verdict.error.message


def test_a_refusal_names_the_field(sample):
    verdict = parse_submission(sample("fal/submit-invalid-input"), queue_url=QUEUE)
    assert isinstance(verdict, Refused)
    assert verdict.error.message == "source_face_url: field required"


@pytest.mark.parametrize("status", range(100, 600))
def test_no_status_without_fals_word_counts_as_submitted(status):
    assert not isinstance(parse_submission(Response(status=status), queue_url=QUEUE), Submitted)


@pytest.mark.parametrize("status", [502, 504, 520, 524, 599])
def test_a_gateways_answer_never_leads_to_a_second_submit(status):
    verdict = parse_submission(Response(status=status, headers={"retry-after": "1"}), queue_url=QUEUE)
    assert not isinstance(verdict, TryLater)


def test_the_request_carries_the_input_unwrapped_and_the_callback_in_the_query():
    callback = "https://me.example/callbacks/fal/a.b-c?x=1&y=é"
    request = build_submission(
        queue_url=QUEUE + "/", model=MODEL, input_json=b'{"a":1}', key="id:secret", webhook_url=callback
    )
    parts = urlsplit(request.url)
    assert (request.method, request.body) == ("POST", b'{"a":1}')
    assert parts.path == f"/{MODEL}"
    assert parse_qs(parts.query) == {"fal_webhook": [callback]}
    assert request.headers["Authorization"] == "Key id:secret"
    assert request.headers["Content-Type"] == "application/json"


def test_without_a_public_url_there_is_no_callback():
    request = build_submission(queue_url=QUEUE, model=MODEL, input_json=b"{}", key="k", webhook_url=None)
    assert request.url == f"{QUEUE}/{MODEL}"
