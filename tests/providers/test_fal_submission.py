from urllib.parse import parse_qs, urlsplit

import pytest

from providers.fal.submission import build_submission, parse_submission
from providers.http import Refused, Response, RetryLater, Submitted, Unknown
from tests.providers.samples import describe, names_of_samples, response_with, sample

QUEUE = "https://queue.fal.run"
MODEL = "half-moon-ai/ai-face-swap/faceswapvideo"

RESULTS = {
    "accepted": "submitted R",
    "accepted-with-webhook": "submitted R",
    "accepted-elsewhere": "submitted R",
    "200-without-id": "unknown network answer_unreadable",
    "200-truncated": "unknown network answer_unreadable",
    "200-page": "unknown network answer_unreadable",
    "redirect": "refused renderhook redirected",
    "bad-key-text": "account refused http_401",
    "bad-key": "account refused http_401",
    "locked": "account refused http_403",
    "unknown-model": "refused input http_404",
    "invalid-input": "refused input missing",
    "bad-request": "refused input bad_request",
    "queue-too-long": "retry later provider http_429 7s",
    "concurrency": "retry later provider concurrent_requests_limit",
    "500": "retry later provider internal_error, 3 in all",
    "503": "retry later provider runner_scheduling_failure",
    "502-gateway": "unknown provider http_502",
    "504-gateway": "unknown provider http_504",
    "504-start-deadline": "retry later provider request_timeout",
    "524-edge": "unknown provider http_524",
}


@pytest.mark.parametrize("case", RESULTS)
def test_captured_response_is_read(case: str) -> None:
    assert describe(parse_submission(sample(f"fal/submit-{case}"), queue_url=QUEUE)) == RESULTS[case]


def test_every_captured_response_has_an_expected_result() -> None:
    assert names_of_samples("fal/submit-") == set(RESULTS)


def test_the_urls_that_fal_returns_are_kept() -> None:
    result = parse_submission(sample("fal/submit-accepted"), queue_url=QUEUE + "/")
    base = f"{QUEUE}/half-moon-ai/ai-face-swap/requests/R"
    assert result == Submitted(
        request_id="R", status_url=f"{base}/status", response_url=base, cancel_url=f"{base}/cancel"
    )


def test_urls_of_another_origin_are_not_kept() -> None:
    result = parse_submission(sample("fal/submit-accepted-elsewhere"), queue_url=QUEUE)
    assert result == Submitted(request_id="R")


@pytest.mark.parametrize("wrong", ["", "a b", "a\nb", "é", "..", "x" * 201, 7, None, ["R"]])
def test_an_id_that_cannot_be_used_in_a_url_leaves_the_job_unknown(wrong: object) -> None:
    assert isinstance(parse_submission(response_with({"request_id": wrong}), queue_url=QUEUE), Unknown)


def test_a_redirect_names_the_setting() -> None:
    result = parse_submission(sample("fal/submit-redirect"), queue_url=QUEUE)
    assert isinstance(result, Refused)
    assert "FAL_QUEUE_URL" in result.error.message


def test_a_refusal_names_the_field() -> None:
    result = parse_submission(sample("fal/submit-invalid-input"), queue_url=QUEUE)
    assert isinstance(result, Refused)
    assert result.error.message == "source_face_url: field required"


def test_no_status_alone_counts_as_submitted() -> None:
    for status in range(100, 600):
        assert not isinstance(parse_submission(Response(status=status), queue_url=QUEUE), Submitted), status


@pytest.mark.parametrize("status", [502, 504, 520, 524, 599])
def test_a_gateways_response_never_leads_to_a_second_submission(status: int) -> None:
    result = parse_submission(Response(status=status, headers={"retry-after": "1"}), queue_url=QUEUE)
    assert not isinstance(result, RetryLater)


def test_the_request_has_the_input_unwrapped_and_the_callback_url_in_the_query() -> None:
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


def test_without_a_callback_url_the_query_is_empty() -> None:
    request = build_submission(queue_url=QUEUE, model=MODEL, input_json=b"{}", key="k", webhook_url=None)
    assert request.url == f"{QUEUE}/{MODEL}"
