import msgspec
import pytest

from providers.heygen.submission import build_submission, parse_submission
from providers.http import Refused, Response, Submitted, TryLater, Unclear

API = "https://api.heygen.com"
NODE = "node-gw-f1s2w3p4"

VERDICTS = {
    "accepted": f"submitted {NODE}",
    "accepted-envelope": f"submitted {NODE}",
    "200-v3-error": "refused input invalid_parameter",
    "200-text-error": "refused provider unexplained",
    "200-flat-code": "refused input 400123",
    "200-unauthorized-code": "refused account 400112",
    "200-busy": "later provider rate_limit_exceeded 5s",
    "200-empty": "unclear network answer_unreadable",
    "200-without-id": "unclear network answer_unreadable",
    "400": "refused input download_failed",
    "401": "refused account unauthorized",
    "402": "refused account MOVIO_PAYMENT_INSUFFICIENT_CREDIT",
    "403-voice": "refused input voice_not_usable",
    "404-avatar": "refused input avatar_not_found",
    "404-page": "refused us api_gone",
    "409": "later provider request_in_progress",
    "410": "refused us api_gone",
    "413": "refused input payload_too_large",
    "429": "later provider rate_limit_exceeded 12s",
    "429-quota": "later account quota_exceeded",
    "429-trial": "refused account trial_video_limit_exceeded",
    "429-trial-number": "refused account 400664",
    "500": "later provider internal_error",
    "503": "later provider service_unavailable",
    "502": "unclear provider http_502",
    "504": "unclear provider http_504",
    "redirect": "refused us redirected",
}


@pytest.mark.parametrize("case", VERDICTS)
def test_every_captured_answer_has_its_verdict(case, sample, say):
    assert say(parse_submission(sample(f"heygen/submit-{case}"))) == VERDICTS[case]


def test_no_captured_answer_is_left_unjudged(judged):
    judged("heygen/submit-", VERDICTS)


@pytest.mark.parametrize("case", ["404-page", "410", "redirect"])
def test_a_moved_or_retired_api_names_the_setting(case, sample):
    verdict = parse_submission(sample(f"heygen/submit-{case}"))
    assert isinstance(verdict, Refused)
    assert "HEYGEN_API_URL" in verdict.error.message


@pytest.mark.parametrize("wrong", ["", "a b", "..", "é", 7, None])
def test_an_id_that_cannot_be_asked_for_leaves_the_job_unclear(wrong, answer_with):
    assert isinstance(parse_submission(answer_with({"data": {"execution_id": wrong}})), Unclear)


def test_an_execution_that_failed_at_once_is_still_an_execution(answer_with):
    told = {"data": {"execution_id": NODE, "status": "failed", "error": "no"}}
    assert parse_submission(answer_with(told)) == Submitted(request_id=NODE)


@pytest.mark.parametrize("status", range(100, 600))
def test_no_status_alone_counts_as_submitted_and_no_gateway_leads_to_a_second_submit(status):
    verdict = parse_submission(Response(status=status))
    assert not isinstance(verdict, Submitted)
    if status in {502, 504} or status >= 520:
        assert not isinstance(verdict, TryLater)


def test_the_request_wraps_the_input_as_it_is():
    request = build_submission(api_url=API + "/", workflow_type="FaceswapNode", input_json=b'{"a": 1.0}', key="k")
    assert (request.method, request.url) == ("POST", f"{API}/v1/workflows/executions")
    assert request.body == b'{"workflow_type":"FaceswapNode","input":{"a": 1.0}}'
    assert request.headers["X-Api-Key"] == "k"


def test_the_path_may_move():
    request = build_submission(api_url=API, workflow_type="X", input_json=b"{}", key="k", path="/v3/workflow-runs/")
    assert request.url == f"{API}/v3/workflow-runs"
    assert msgspec.json.decode(request.body) == {"workflow_type": "X", "input": {}}
