"""Why a fal job failed, in one shape, from the several shapes fal uses.

Model errors are a list under `detail`; request errors are a text with an `error_type`, which is also a header; a
callback may say no more than "Invalid status code: 422".
"""

import re
from collections.abc import Mapping
from typing import Any

from ledger.records import Fault, JobError, Outcome
from providers.http import Response
from providers.reading import read_code, read_mapping, read_text

# https://fal.ai/docs/documentation/model-apis/request-errors
_PROVIDER_CODES = frozenset(
    [
        "request_timeout",
        "startup_timeout",
        "generation_timeout",
        "internal_error",
        "internal_server_error",
        "downstream_service_error",
        "downstream_service_unavailable",
        "concurrent_requests_limit",
        "client_disconnected",
        "client_cancelled",
    ]
)
_INPUT_CODES = frozenset(
    [
        "bad_request",
        "content_policy_violation",
        "no_media_generated",
        "image_too_small",
        "image_too_large",
        "image_load_error",
        "file_download_error",
        "face_detection_error",
        "file_too_large",
        "unsupported_video_format",
        "video_duration_too_long",
    ]
)
_ACCOUNT_WORDS = re.compile(
    r"exhausted balance|user is locked|invalid key|insufficient (balance|credit|funds)", re.IGNORECASE
)
_INNER_STATUS = re.compile(r"Invalid status code: ([1-5][0-9]{2})\b")
_NOTHING: Mapping[str, str] = {}


def read_failure(
    said: object, *, status: int | None = None, headers: Mapping[str, str] = _NOTHING, text: str | None = None
) -> JobError:
    """Sort a failure by whose fault it is. Never raises; the message is never empty and at most 1,000 characters.

    `said` is the decoded body, whatever it is; `status` the HTTP status when it speaks of the job; `text` what else
    was said beside the body.
    """
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    text = text or read_text(told.get("error"))
    inner = _INNER_STATUS.search(text or "")
    status = int(inner[1]) if inner else status
    details = _details(told)
    code = _code(told, details, headers, status)
    message = _message(told, details, text, status)
    fault = _fault(code, status, message, by_model=bool(details))
    return JobError(fault=fault, code=code, message=message, retryable=_retryable(fault, code, headers))


def read_answer_failure(answer: Response) -> JobError:
    """Sort a non-2xx answer, JSON or not."""
    text = read_text(answer.body[:800].decode("utf-8", "replace"), 200)
    plain = text if text and text[0] not in "<{[" else None
    return read_failure(read_mapping(answer.body), status=answer.status, headers=answer.headers, text=plain)


def end_with(error: JobError) -> Outcome:
    """End a job with a failure; one that the client's own cancel caused ends it as canceled."""
    return Outcome.canceled() if error.code == "client_cancelled" else Outcome.failed(error)


def is_model_error(answer: Response) -> bool:
    """Tell whether the model itself answers, by a list of what was wrong, rather than the road to it."""
    return bool(_details(read_mapping(answer.body) or {}))


def is_fal_error(answer: Response) -> bool:
    """Tell whether fal itself answers, by its header or its error body, rather than some gateway's page."""
    told = read_mapping(answer.body) or {}
    named = answer.headers.keys() & {"x-fal-error-type", "x-fal-request-timeout-type"}
    return bool(named or told.get("detail") or read_code(told.get("error_type")))


def _details(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    detail = told.get("detail")
    return [item for item in detail if isinstance(item, dict)] if isinstance(detail, list) else []


def _code(
    told: Mapping[str, Any], details: list[Mapping[str, Any]], headers: Mapping[str, str], status: int | None
) -> str:
    named = [item.get("type") for item in details[:1]] + [told.get("error_type"), headers.get("x-fal-error-type")]
    unnamed = f"http_{status}" if status else "unexplained"
    return next((code for code in map(read_code, named) if code), unnamed)


def _message(told: Mapping[str, Any], details: list[Mapping[str, Any]], text: str | None, status: int | None) -> str:
    lines = [line for line in map(_line, details[:5]) if line]
    candidates = ["; ".join(lines), told.get("detail"), text, told.get("message")]
    unsaid = f"fal answered HTTP {status} and gave no reason" if status else "fal reported a failure and gave no reason"
    return next((message for message in map(read_text, candidates) if message), unsaid)


def _line(item: Mapping[str, Any]) -> str | None:
    loc = item.get("loc")
    steps = [str(step) for step in loc if isinstance(step, str | int)][:10] if isinstance(loc, list) else []
    field = read_text(".".join(steps[1:] if steps[:1] == ["body"] else steps), 200)
    message = read_text(item.get("msg"), 400) or read_code(item.get("type"))
    return f"{field}: {message or 'refused'}" if field else message


def _fault(code: str, status: int | None, message: str, *, by_model: bool) -> Fault:
    if code in _INPUT_CODES:
        return Fault.INPUT
    if code in _PROVIDER_CODES or code.startswith("runner_"):
        return Fault.PROVIDER
    if status in {401, 402, 403} or (not by_model and _ACCOUNT_WORDS.search(message)):
        return Fault.ACCOUNT
    if status is None:
        return Fault.INPUT if by_model else Fault.PROVIDER
    return Fault.INPUT if 400 <= status < 500 and status not in {408, 425, 429, 499} else Fault.PROVIDER


def _retryable(fault: Fault, code: str, headers: Mapping[str, str]) -> bool:
    # Older answers name it x-fal-retryable, newer ones x-fal-needs-retry.
    wish = (headers.get("x-fal-needs-retry") or headers.get("x-fal-retryable") or "").lower()
    if wish in {"0", "false"}:
        return False
    return fault is Fault.PROVIDER and code != "unexplained"
