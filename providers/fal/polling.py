"""fal's requests about a submitted job (status, result, cancel) and their responses."""

import re
from urllib.parse import quote

from providers.fal.failures import failed_outcome, is_fal_error, is_model_error, read_error, read_error_response
from providers.fal.files import read_completion
from providers.http import (
    UNREADABLE,
    AskNext,
    CancelResult,
    Ended,
    NotFound,
    PollResult,
    Request,
    Response,
    RetryLater,
    Running,
    Unreadable,
)
from providers.reading import read_retry_after
from providers.responses import is_temporary, retry_poll
from settings.secrets import reveal

_WAITING = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_NAMESPACES = frozenset({"workflows", "comfy"})
_LEGACY_APP = re.compile(r"([0-9]+)-([A-Za-z0-9-]+)")
_UNFINISHED = re.compile(r"in progress|in queue|not (yet )?(completed|finished|ready)", re.IGNORECASE)
_CANCEL_RESULTS = {
    "CANCELLATION_REQUESTED": CancelResult.REQUESTED,
    "OK": CancelResult.CANCELED,
    "ALREADY_COMPLETED": CancelResult.TOO_LATE,
    "NOT_FOUND": CancelResult.NOT_FOUND,
}


def build_status(*, queue_url: str, model: str, request_id: str, url: str | None, key: str) -> Request:
    """Build the request for a job's status, at the URL fal returned or, without one, at the documented one."""
    return _request("GET", url or _request_url(queue_url, model, request_id) + "/status", key)


def build_result(*, queue_url: str, model: str, request_id: str, url: str | None, key: str) -> Request:
    """Build the request for the output of a job that has ended."""
    return _request("GET", url or _request_url(queue_url, model, request_id), key)


def build_cancel(*, queue_url: str, model: str, request_id: str, url: str | None, key: str) -> Request:
    """Build the request that cancels a job."""
    return _request("PUT", url or _request_url(queue_url, model, request_id) + "/cancel", key)


def parse_status(response: Response, result: Request) -> PollResult:
    """Read a job's status. Never raises. `result` is the request for its output, to be sent next if it has ended.

    An error about the request itself never fails the job.
    """
    if response.status in {404, 410}:
        return NotFound()
    status = response.fields.get("status")
    if not response.ok or not isinstance(status, str):
        return _retry(response)
    status = status.upper()
    if status == "NOT_FOUND":
        return NotFound()
    if status != "COMPLETED":
        return Running(retry_after=read_retry_after(response.headers))
    # There is no FAILED: a failure is COMPLETED with an error. https://fal.ai/docs/api-reference/inference-api
    if response.fields.get("error") or response.fields.get("error_type"):
        return Ended(outcome=failed_outcome(read_error(response.fields, headers=response.headers)))
    return AskNext(request=result, read=parse_result)


def parse_result(response: Response) -> PollResult:
    """Read a job's output, or its error: a failed job has the model's own HTTP status. Never raises.

    Only an error of fal or of the model ends a job; one of a gateway in between is retried.
    """
    if response.ok:
        return _parse_output(response)
    error = read_error_response(response)
    if response.status == 400 and _UNFINISHED.search(error.message) and not is_model_error(response):
        return Running(retry_after=read_retry_after(response.headers))
    if is_model_error(response) or response.status == 422:
        return Ended(outcome=failed_outcome(error))
    if response.status in {404, 410}:
        return NotFound()
    about_request = response.status in {401, 402, 403} or (is_temporary(response.status) and response.status < 500)
    if is_fal_error(response) and response.status >= 400 and not about_request:
        return Ended(outcome=failed_outcome(error))
    return _retry(response, ended=True)


def parse_cancel(response: Response) -> CancelResult:
    """Read what a cancel did, in any of fal's shapes. Never raises."""
    # The two documentations disagree on the body. https://fal.ai/docs/inference-api/queue/cancel
    status, success = response.fields.get("status"), response.fields.get("success")
    if isinstance(status, str) and status.upper() in _CANCEL_RESULTS:
        return _CANCEL_RESULTS[status.upper()]
    if response.ok:
        if success is False:
            return CancelResult.REFUSED
        return CancelResult.CANCELED if success is True else CancelResult.REQUESTED
    if response.status in {404, 410}:
        return CancelResult.NOT_FOUND
    return CancelResult.RETRY_LATER if is_temporary(response.status) else CancelResult.REFUSED


def _parse_output(response: Response) -> PollResult:
    if response.json is UNREADABLE:
        return Running() if response.status == 202 else _retry(response, ended=True)
    status = response.fields.get("status")
    if "request_id" in response.fields and isinstance(status, str) and status in _WAITING:
        return Running(retry_after=read_retry_after(response.headers))
    return Ended(outcome=read_completion(response.json))


def _retry(response: Response, *, ended: bool = False) -> RetryLater | Unreadable:
    return retry_poll(response, provider="fal", setting="FAL_QUEUE_URL", read_error=read_error_response, ended=ended)


def _request_url(queue_url: str, model: str, request_id: str) -> str:
    """Return a request's URL, which has owner and app without the model's sub-path, as in both official clients."""
    # https://fal.ai/docs/api-reference/inference-api
    segments = model.split("/")
    legacy = _LEGACY_APP.fullmatch(model)
    if legacy:
        segments = [legacy[1], legacy[2]]
    kept = segments[:3] if segments[0] in _NAMESPACES else segments[:2]
    return f"{queue_url.rstrip('/')}/{quote('/'.join(kept), safe='/')}/requests/{quote(request_id, safe='')}"


def _request(method: str, url: str, key: str) -> Request:
    return Request(
        method=method, url=url, headers={"Authorization": f"Key {reveal(key)}", "Accept": "application/json"}
    )
