"""Asking fal how a job is doing, for its result, and to stop it, and reading the answers."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ledger.records import Fault, JobError
from providers.errors import Malformed
from providers.fal.failures import end_with, is_fal_error, is_model_error, read_answer_failure, read_failure
from providers.fal.files import read_completion
from providers.http import CancelVerdict, Ended, Missing, PollResult, Request, Response, ResultReady, Running, TryLater
from providers.reading import read_json, read_mapping, read_retry_after
from providers.statuses import busy

_WAITING = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_NAMESPACES = frozenset({"workflows", "comfy"})
_LEGACY_APP = re.compile(r"([0-9]+)-([A-Za-z0-9-]+)")
_UNFINISHED = re.compile(r"in progress|in queue|not (yet )?(completed|finished|ready)", re.IGNORECASE)
_CANCEL_WORDS = {
    "CANCELLATION_REQUESTED": CancelVerdict.REQUESTED,
    "OK": CancelVerdict.CANCELED,
    "ALREADY_COMPLETED": CancelVerdict.TOO_LATE,
    "NOT_FOUND": CancelVerdict.UNKNOWN,
}


def build_status(*, queue_url: str, model: str, request_id: str, url: str | None, key: str) -> Request:
    """Build the request for a job's status, at the URL fal returned or, without one, at the documented place."""
    return _ask("GET", url or _request_url(queue_url, model, request_id) + "/status", key)


def build_result(*, queue_url: str, model: str, request_id: str, url: str | None, key: str) -> Request:
    """Build the request for a finished job's output."""
    return _ask("GET", url or _request_url(queue_url, model, request_id), key)


def build_cancel(*, queue_url: str, model: str, request_id: str, url: str | None, key: str) -> Request:
    """Build the request that asks fal to stop a job."""
    return _ask("PUT", url or _request_url(queue_url, model, request_id) + "/cancel", key)


def parse_status(answer: Response) -> PollResult:
    """Read where a job is. Never raises; a failed question never fails the job."""
    if answer.status in {404, 410}:
        return Missing()
    told = read_mapping(answer.body)
    if not 200 <= answer.status < 300 or told is None or not isinstance(told.get("status"), str):
        return _put_off(answer)
    word = told["status"].upper()
    if word == "NOT_FOUND":
        return Missing()
    if word != "COMPLETED":
        return Running(retry_after=read_retry_after(answer.headers))
    # There is no FAILED: a failure is COMPLETED with an error. https://fal.ai/docs/api-reference/inference-api
    if told.get("error") or told.get("error_type"):
        return Ended(outcome=end_with(read_failure(told, headers=answer.headers)))
    return ResultReady()


def parse_result(answer: Response) -> PollResult:
    """Read a finished job's output, or why it failed: a failed job answers with the model's own status. Never raises.

    Only fal's own voice ends a job; a bare page from something between us is asked again.
    """
    if 200 <= answer.status < 300:
        return _parse_output(answer)
    error = read_answer_failure(answer)
    if answer.status == 400 and _UNFINISHED.search(error.message) and not is_model_error(answer):
        return Running(retry_after=read_retry_after(answer.headers))
    if is_model_error(answer) or answer.status == 422:
        return Ended(outcome=end_with(error))
    if answer.status in {404, 410}:
        return Missing()
    ours = answer.status in {401, 402, 403} or (busy(answer.status) and answer.status < 500)
    if is_fal_error(answer) and answer.status >= 400 and not ours:
        return Ended(outcome=end_with(error))
    return _put_off(answer)


def parse_cancel(answer: Response) -> CancelVerdict:
    """Read what became of a cancel, whichever of fal's shapes it has. Never raises."""
    # The two documentations disagree on the body. https://fal.ai/docs/inference-api/queue/cancel
    told = read_mapping(answer.body) or {}
    word = told.get("status")
    if isinstance(word, str) and word.upper() in _CANCEL_WORDS:
        return _CANCEL_WORDS[word.upper()]
    if 200 <= answer.status < 300:
        if told.get("success") is False:
            return CancelVerdict.REFUSED
        return CancelVerdict.CANCELED if told.get("success") is True else CancelVerdict.REQUESTED
    if answer.status in {404, 410}:
        return CancelVerdict.UNKNOWN
    return CancelVerdict.TRY_LATER if busy(answer.status) else CancelVerdict.REFUSED


def _parse_output(answer: Response) -> PollResult:
    try:
        said = read_json(answer.body)
    except Malformed:
        return Running() if answer.status == 202 else _put_off(answer)
    if _is_queue_status(said):
        return Running(retry_after=read_retry_after(answer.headers))
    return Ended(outcome=read_completion(said))


def _is_queue_status(said: object) -> bool:
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    return "request_id" in told and isinstance(told.get("status"), str) and told["status"] in _WAITING


def _put_off(answer: Response) -> TryLater:
    if 200 <= answer.status < 300:
        message = f"fal answered HTTP {answer.status} with a body that cannot be read"
        error = JobError(fault=Fault.NETWORK, code="answer_unreadable", message=message, retryable=True)
    elif 300 <= answer.status < 400:
        message = f"fal answered HTTP {answer.status}, a redirect, which is not followed; check FAL_QUEUE_URL"
        error = JobError(fault=Fault.US, code="redirected", message=message)
    else:
        error = read_answer_failure(answer)
    return TryLater(error=error, retry_after=read_retry_after(answer.headers))


def _request_url(queue_url: str, model: str, request_id: str) -> str:
    """Name a request by owner and app only, without the model's sub-path, as both official clients do."""
    # https://fal.ai/docs/api-reference/inference-api
    steps = model.split("/")
    legacy = _LEGACY_APP.fullmatch(model)
    if legacy:
        steps = [legacy[1], legacy[2]]
    kept = steps[:3] if steps[0] in _NAMESPACES else steps[:2]
    return f"{queue_url.rstrip('/')}/{quote('/'.join(kept), safe='/')}/requests/{quote(request_id, safe='')}"


def _ask(method: str, url: str, key: str) -> Request:
    return Request(method=method, url=url, headers={"Authorization": f"Key {key}", "Accept": "application/json"})
