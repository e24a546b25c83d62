"""Asking HeyGen to run a workflow, and reading whether it took it."""

import msgspec

from ledger.records import Fault, JobError
from providers.heygen.failures import find_complaint, is_busy, read_answer_failure
from providers.heygen.sunset import api_gone, sunset_warning
from providers.http import Refused, Request, Response, SubmitResult, Submitted, TryLater, Unclear
from providers.reading import read_id, read_mapping, read_retry_after
from providers.statuses import may_hide_a_job, not_taken

EXECUTIONS = "/v1/workflows/executions"
"""Where executions live. The path moved twice in its first week, so callers may give another."""


def build_submission(
    *, api_url: str, workflow_type: str, input_json: bytes, key: str, path: str = EXECUTIONS
) -> Request:
    """Build the request that starts a workflow; `input_json` is its input, put into the envelope as it is."""
    # https://github.com/heygen-com/skills-legacy
    return Request(
        method="POST",
        url=f"{api_url.rstrip('/')}/{path.strip('/')}",
        headers={"X-Api-Key": key, "Content-Type": "application/json", "Accept": "application/json"},
        body=msgspec.json.encode({"workflow_type": workflow_type, "input": msgspec.Raw(input_json)}),
    )


def parse_submission(answer: Response) -> SubmitResult:
    """Read whether HeyGen has the job. Never raises. HTTP 200 with an error and no execution is a refusal."""
    if 200 <= answer.status < 300:
        return _parse_taken(answer)
    if 300 <= answer.status < 400:
        return Refused(error=_moved(answer.status))
    error = read_answer_failure(answer)
    if may_hide_a_job(answer.status):
        return Unclear(error=error)
    # A used-up trial comes as 429 too, and no waiting of ours mends it.
    trial = error.fault is Fault.ACCOUNT and error.code != "quota_exceeded"
    if is_busy(error) or (not_taken(answer.status) and not trial):
        return TryLater(error=error, retry_after=read_retry_after(answer.headers))
    if api_gone(answer):
        return Refused(error=_gone(answer))
    return Refused(error=error)


def _parse_taken(answer: Response) -> SubmitResult:
    told = read_mapping(answer.body) or {}
    data = told.get("data")
    execution_id = read_id(data.get("execution_id")) if isinstance(data, dict) else None
    if execution_id is not None:
        return Submitted(request_id=execution_id)
    if find_complaint(told) is None:
        message = f"HeyGen answered HTTP {answer.status} without a readable execution_id; it may have taken the job"
        return Unclear(error=JobError(fault=Fault.NETWORK, code="answer_unreadable", message=message))
    error = read_answer_failure(answer)
    if is_busy(error):
        return TryLater(error=error, retry_after=read_retry_after(answer.headers))
    return Refused(error=error)


def _moved(status: int) -> JobError:
    message = f"HeyGen answered HTTP {status}, a redirect, which is not followed; check HEYGEN_API_URL"
    return JobError(fault=Fault.US, code="redirected", message=message)


def _gone(answer: Response) -> JobError:
    message = sunset_warning(answer) or "HeyGen no longer serves this address; check HEYGEN_API_URL"
    return JobError(fault=Fault.US, code="api_gone", message=message)
