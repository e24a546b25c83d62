"""Asking HeyGen how an execution is doing, and reading the answer, which holds the result as well."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ledger.records import Fault, JobError, Outcome
from providers.heygen.failures import find_complaint, is_busy, read_answer_failure, read_failure
from providers.heygen.files import find_outputs
from providers.heygen.submission import EXECUTIONS
from providers.http import Ended, Missing, PollResult, Request, Response, Running, TryLater
from providers.reading import read_mapping, read_retry_after, read_text


def build_status(*, api_url: str, execution_id: str, key: str, path: str = EXECUTIONS) -> Request:
    """Build the request for an execution's status and, once it has one, its output."""
    # https://github.com/heygen-com/skills-legacy
    url = f"{api_url.rstrip('/')}/{path.strip('/')}/{quote(execution_id, safe='')}"
    return Request(method="GET", url=url, headers={"X-Api-Key": key, "Accept": "application/json"})


def parse_status(answer: Response) -> PollResult:
    """Read where an execution is. Never raises.

    `completed`, `failed` and `not_found` end it; any other word is still running. A question that failed never fails
    the job.
    """
    told = read_mapping(answer.body) or {}
    state = _state(told)
    word = state.get("status")
    if isinstance(word, str) and _about_the_job(answer, word, nested=state is not told):
        ending = _read_ending(word.lower(), state, told)
        if ending is not None:
            return Ended(outcome=ending)
    if answer.status in {404, 410}:
        return Missing()
    if not 200 <= answer.status < 300:
        return _put_off(answer)
    if find_complaint(told) is not None:
        return _read_complaint(answer, told)
    if isinstance(word, str):
        return Running(retry_after=read_retry_after(answer.headers))
    return _put_off(answer)


def _state(told: Mapping[str, Any]) -> Mapping[str, Any]:
    data = told.get("data")
    return data if isinstance(data, dict) else told


def _about_the_job(answer: Response, word: str, *, nested: bool) -> bool:
    """Tell a failed job from a failed question: {"status": "failed"} beside HTTP 401 speaks of our key."""
    if 200 <= answer.status < 300 or (answer.status in {404, 410} and word.lower() == "not_found"):
        return True
    return nested and answer.status in {400, 404, 409, 410, 422}


def _read_ending(word: str, state: Mapping[str, Any], told: Mapping[str, Any]) -> Outcome | None:
    if word == "completed":
        return _complete(state)
    if word == "failed":
        return Outcome.failed(read_failure(told))
    if word == "not_found":
        message = "HeyGen does not know this execution (any more)"
        return Outcome.failed(JobError(fault=Fault.PROVIDER, code="not_found", message=message))
    return None


def _complete(state: Mapping[str, Any]) -> Outcome:
    # One run fills `output`, a graph of runs fills `outputs`, keyed by workflow.
    outputs = find_outputs([state.get("output"), state.get("outputs")])
    warning = read_text(state.get("warning"))
    if not outputs and warning is None:
        warning = "HeyGen completed the execution, but its output has no usable URL"
    return Outcome.completed(outputs, warning=warning)


def _read_complaint(answer: Response, told: Mapping[str, Any]) -> PollResult:
    """HTTP 200 with an error: the job's own, unless it is about our asking."""
    error = read_failure(told)
    if is_busy(error) or error.fault is Fault.ACCOUNT:
        return TryLater(error=error, retry_after=read_retry_after(answer.headers))
    return Ended(outcome=Outcome.failed(error))


def _put_off(answer: Response) -> TryLater:
    if 200 <= answer.status < 300:
        message = f"HeyGen answered HTTP {answer.status} with a body that cannot be read"
        error = JobError(fault=Fault.NETWORK, code="answer_unreadable", message=message, retryable=True)
    elif 300 <= answer.status < 400:
        message = f"HeyGen answered HTTP {answer.status}, a redirect, which is not followed; check HEYGEN_API_URL"
        error = JobError(fault=Fault.US, code="redirected", message=message)
    else:
        error = read_answer_failure(answer)
    return TryLater(error=error, retry_after=read_retry_after(answer.headers))
