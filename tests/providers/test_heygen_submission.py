import msgspec
import pytest

from providers.heygen.submission import build_submission, parse_submission
from providers.http import Refused, Response, RetryLater, Submitted, Unknown
from tests.providers.samples import describe, names_of_samples, response_with, sample

API = "https://api.heygen.com"
NODE = "node-gw-f1s2w3p4"

RESULTS = {
    "accepted": f"submitted {NODE}",
    "accepted-envelope": f"submitted {NODE}",
    "200-v3-error": "refused input invalid_parameter",
    "200-text-error": "refused provider unexplained",
    "200-flat-code": "refused input 400123",
    "200-unauthorized-code": "account refused 400112",
    "200-busy": "retry later provider rate_limit_exceeded 5s",
    "200-empty": "unknown network answer_unreadable",
    "200-without-id": "unknown network answer_unreadable",
    "400": "refused input download_failed",
    "401": "account refused unauthorized",
    "402": "account refused MOVIO_PAYMENT_INSUFFICIENT_CREDIT",
    "403-voice": "refused input voice_not_usable",
    "404-avatar": "refused input avatar_not_found",
    "404-page": "refused renderhook api_gone",
    "409": "retry later provider request_in_progress",
    "410": "refused renderhook api_gone",
    "413": "refused input payload_too_large",
    "429": "retry later provider rate_limit_exceeded 12s",
    "429-quota": "account refused quota_exceeded",
    "429-trial": "account refused trial_video_limit_exceeded",
    "429-trial-number": "account refused 400664",
    "500": "retry later provider internal_error, 2 in all",
    "503": "retry later provider service_unavailable",
    "502": "unknown provider http_502",
    "504": "unknown provider http_504",
    "redirect": "refused renderhook redirected",
}


@pytest.mark.parametrize("case", RESULTS)
def test_captured_response_is_read(case: str) -> None:
    assert describe(parse_submission(sample(f"heygen/submit-{case}"))) == RESULTS[case]


def test_every_captured_response_has_an_expected_result() -> None:
    assert names_of_samples("heygen/submit-") == set(RESULTS)


@pytest.mark.parametrize("case", ["404-page", "410", "redirect"])
def test_a_moved_or_retired_api_names_the_setting(case: str) -> None:
    result = parse_submission(sample(f"heygen/submit-{case}"))
    assert isinstance(result, Refused)
    assert "HEYGEN_API_URL" in result.error.message


@pytest.mark.parametrize("wrong", ["", "a b", "..", "é", 7, None])
def test_an_id_that_cannot_be_used_in_a_url_leaves_the_job_unknown(wrong: object) -> None:
    assert isinstance(parse_submission(response_with({"data": {"execution_id": wrong}})), Unknown)


def test_an_execution_that_failed_at_once_was_submitted() -> None:
    body = {"data": {"execution_id": NODE, "status": "failed", "error": "no"}}
    assert parse_submission(response_with(body)) == Submitted(request_id=NODE)


def test_no_status_alone_counts_as_submitted_and_no_gateway_leads_to_a_second_submission() -> None:
    for status in range(100, 600):
        result = parse_submission(Response(status=status))
        assert not isinstance(result, Submitted), status
        if status in {502, 504} or status >= 520:
            assert not isinstance(result, RetryLater), status


def test_the_request_wraps_the_input_unchanged() -> None:
    request = build_submission(api_url=API + "/", workflow_type="FaceswapNode", input_json=b'{"a": 1.0}', key="k")
    assert (request.method, request.url) == ("POST", f"{API}/v1/workflows/executions")
    assert request.body == b'{"workflow_type":"FaceswapNode","input":{"a": 1.0}}'
    assert request.headers["X-Api-Key"] == "k"


def test_the_path_is_configurable() -> None:
    request = build_submission(api_url=API, workflow_type="X", input_json=b"{}", key="k", path="/v3/workflow-runs/")
    assert request.url == f"{API}/v3/workflow-runs"
    assert msgspec.json.decode(request.body) == {"workflow_type": "X", "input": {}}
