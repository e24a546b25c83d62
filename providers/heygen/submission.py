"""Starting a HeyGen workflow, and reading whether HeyGen has it."""

import msgspec

from ledger.records import Fault, JobError
from providers.heygen.failures import concerns_account, find_error, is_temporary_error, read_error_response
from providers.heygen.sunset import is_api_gone, sunset_warning
from providers.http import AccountRefused, Refused, Request, Response, RetryLater, SubmitResult, Submitted, Unknown
from providers.reading import read_id, read_retry_after
from providers.responses import (
    is_own_failure,
    is_rejected_for_now,
    may_have_taken_job,
    missing_id_error,
    redirect_error,
)
from settings.secrets import reveal

EXECUTIONS = "/v1/workflows/executions"
"""The path of executions. HeyGen moved it twice in its first week, so it is also a setting."""

MOST_SERVER_ERRORS = 2
"""Submissions of a job that HeyGen answers with HTTP 500 or the like: no document says that it did not take them."""


def build_submission(
    *, api_url: str, workflow_type: str, input_json: bytes, key: str, path: str = EXECUTIONS
) -> Request:
    """Build the request that starts a workflow; `input_json` is put into the envelope as it is."""
    # https://github.com/heygen-com/skills-legacy
    return Request(
        method="POST",
        url=f"{api_url.rstrip('/')}/{path.strip('/')}",
        headers={"X-Api-Key": reveal(key), "Content-Type": "application/json", "Accept": "application/json"},
        body=msgspec.json.encode({"workflow_type": workflow_type, "input": msgspec.Raw(input_json)}),
    )


def parse_submission(response: Response) -> SubmitResult:
    """Read whether HeyGen has the job. Never raises. HTTP 200 with an error and no execution is a refusal."""
    if response.ok:
        return _parse_accepted(response)
    if 300 <= response.status < 400:
        return Refused(error=redirect_error(response, provider="HeyGen", setting="HEYGEN_API_URL"))
    error = read_error_response(response)
    if may_have_taken_job(response.status):
        return Unknown(error=error)
    if concerns_account(error, response):  # also with status 429: an exhausted trial
        return AccountRefused(error=error)
    if is_temporary_error(error) or is_rejected_for_now(response.status):
        return _retry_later(response, error)
    if is_api_gone(response):
        return Refused(error=_api_gone_error(response))
    return Refused(error=error)


def _parse_accepted(response: Response) -> SubmitResult:
    data = response.fields.get("data")
    execution_id = read_id(data.get("execution_id")) if isinstance(data, dict) else None
    if execution_id is not None:
        return Submitted(request_id=execution_id)
    if find_error(response.fields) is None:
        return Unknown(error=missing_id_error(response, provider="HeyGen", field="execution_id"))
    error = read_error_response(response)
    if concerns_account(error, response):
        return AccountRefused(error=error)
    if is_temporary_error(error):
        return _retry_later(response, error)
    return Refused(error=error)


def _retry_later(response: Response, error: JobError) -> RetryLater:
    unclear = is_own_failure(response.status) or error.code.lower() == "internal_error"
    limit = MOST_SERVER_ERRORS if unclear else None
    return RetryLater(error=error, retry_after=read_retry_after(response.headers), limit=limit)


def _api_gone_error(response: Response) -> JobError:
    message = sunset_warning(response) or "HeyGen no longer serves this address; check HEYGEN_API_URL"
    return JobError(fault=Fault.RENDERHOOK, code="api_gone", message=message)
