"""Polling a HeyGen execution. The response of an execution that has ended holds its result."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ledger.records import Fault, JobError, Outcome
from providers.find_files import find_files
from providers.heygen.failures import find_error, is_temporary_error, read_error, read_error_response
from providers.heygen.submission import EXECUTIONS
from providers.http import Ended, NotFound, PollResult, Request, Response, RetryLater, Running, Unreadable
from providers.reading import read_retry_after, read_text
from providers.responses import retry_poll
from settings.secrets import reveal

_URL_KEYS = ("video_url", "image_url", "audio_url", "url")
"""Where URLs are in an output: `output.video_url`, `output.video.video_url`, and alike for images and sound."""


def build_status(*, api_url: str, execution_id: str, key: str, path: str = EXECUTIONS) -> Request:
    """Build the request for an execution's status and, once it has one, its output."""
    # https://github.com/heygen-com/skills-legacy
    url = f"{api_url.rstrip('/')}/{path.strip('/')}/{quote(execution_id, safe='')}"
    return Request(method="GET", url=url, headers={"X-Api-Key": reveal(key), "Accept": "application/json"})


def parse_status(response: Response) -> PollResult:
    """Read an execution's status. Never raises.

    `completed`, `failed` and `not_found` end it; any other status is still running. An error about the request itself
    never fails the job.
    """
    fields = response.fields
    data = fields.get("data")
    execution = data if isinstance(data, dict) else fields
    status = execution.get("status")
    if isinstance(status, str) and _is_about_job(response, status, nested=execution is not fields):
        outcome = _read_outcome(status.lower(), execution, fields)
        if outcome is not None:
            return Ended(outcome=outcome)
    if response.status in {404, 410}:
        return NotFound()
    if not response.ok:
        return _retry(response)
    if find_error(fields) is not None:
        return _read_error(response)
    if isinstance(status, str):
        return Running(retry_after=read_retry_after(response.headers))
    return _retry(response)


def _is_about_job(response: Response, status: str, *, nested: bool) -> bool:
    """Return whether the status is the job's: {"status": "failed"} with HTTP 401 is about our key."""
    if response.ok or (response.status in {404, 410} and status.lower() == "not_found"):
        return True
    return nested and response.status in {400, 404, 409, 410, 422}


def _read_outcome(status: str, execution: Mapping[str, Any], fields: Mapping[str, Any]) -> Outcome | None:
    if status == "completed":
        return _read_completion(execution)
    if status == "failed":
        return Outcome.failed(read_error(fields))
    if status == "not_found":
        message = "HeyGen does not know this execution (any more)"
        return Outcome.failed(JobError(fault=Fault.PROVIDER, code="not_found", message=message))
    return None


def _read_completion(execution: Mapping[str, Any]) -> Outcome:
    # One run has `output`; a graph of runs has `outputs`, by workflow.
    files = find_files([execution.get("output"), execution.get("outputs")], _URL_KEYS)
    warning = files.warning(provider="HeyGen", said=read_text(execution.get("warning")))
    return Outcome.completed(files.outputs, warning=warning)


def _read_error(response: Response) -> PollResult:
    """Read HTTP 200 with an error: it is the job's, unless it is about our account or only temporary."""
    error = read_error(response.fields)
    if is_temporary_error(error) or error.fault is Fault.ACCOUNT:
        return RetryLater(error=error, retry_after=read_retry_after(response.headers))
    return Ended(outcome=Outcome.failed(error))


def _retry(response: Response) -> RetryLater | Unreadable:
    return retry_poll(response, provider="HeyGen", setting="HEYGEN_API_URL", read_error=read_error_response)
