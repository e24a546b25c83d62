"""fal's errors, read as one `JobError` from the several shapes that fal uses.

Model errors are a list under `detail`; request errors are a text with an `error_type`, which is also a header; a
callback may have nothing but "Invalid status code: 422".
"""

import re
from collections.abc import Mapping
from typing import Any

from ledger.records import Fault, JobError, Outcome
from providers.http import Response
from providers.reading import read_code, read_text
from providers.responses import TEMPORARY

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
_NOT_ABOUT_INPUT = TEMPORARY - {409} | {499}
"""Client errors that do not mean that the input is wrong."""
_INNER_STATUS = re.compile(r"Invalid status code: ([1-5][0-9]{2})\b")
_NO_HEADERS: Mapping[str, str] = {}


def read_error(
    body: object, *, status: int | None = None, headers: Mapping[str, str] = _NO_HEADERS, text: str | None = None
) -> JobError:
    """Read an error and whose fault it is. Never raises; the message is never empty and at most 1,000 characters.

    `body` is the decoded body, whatever it is; `status` the HTTP status when it is about the job; `text` an error
    text from outside the body.
    """
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    text = text or read_text(fields.get("error"))
    inner = _INNER_STATUS.search(text or "")
    status = int(inner[1]) if inner else status
    details = _details(fields)
    code = _code(fields, details, headers, status)
    message = _message(fields, details, text, status)
    fault = _fault(code, status, message, by_model=bool(details))
    return JobError(fault=fault, code=code, message=message, retryable=_retryable(fault, code, headers))


def read_error_response(response: Response) -> JobError:
    """Read the error of a response that is not 2xx, JSON or not."""
    text = read_text(response.body[:800].decode("utf-8", "replace"), 200)
    plain = text if text and text[0] not in "<{[" else None
    return read_error(response.fields, status=response.status, headers=response.headers, text=plain)


def failed_outcome(error: JobError) -> Outcome:
    """Return the outcome of a job that ended with an error: canceled when the client's own cancel caused it."""
    return Outcome.canceled() if error.code == "client_cancelled" else Outcome.failed(error)


def is_model_error(response: Response) -> bool:
    """Return whether the model itself answered, with a list of errors."""
    return bool(_details(response.fields))


def is_fal_error(response: Response) -> bool:
    """Return whether fal answered, with its header or its error body, rather than a gateway with a page."""
    named = response.headers.keys() & {"x-fal-error-type", "x-fal-request-timeout-type"}
    return bool(named or response.fields.get("detail") or read_code(response.fields.get("error_type")))


def concerns_account(error: JobError, response: Response) -> bool:
    """Return whether every job would be refused with this error: the key is wrong, the balance is used up."""
    if error.fault is not Fault.ACCOUNT:
        return False
    return response.status in {401, 402} or _ACCOUNT_WORDS.search(error.message) is not None


def _details(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    detail = fields.get("detail")
    return [item for item in detail if isinstance(item, dict)] if isinstance(detail, list) else []


def _code(
    fields: Mapping[str, Any], details: list[Mapping[str, Any]], headers: Mapping[str, str], status: int | None
) -> str:
    named = [item.get("type") for item in details[:1]] + [fields.get("error_type"), headers.get("x-fal-error-type")]
    default = f"http_{status}" if status else "unexplained"
    return next((code for code in map(read_code, named) if code), default)


def _message(fields: Mapping[str, Any], details: list[Mapping[str, Any]], text: str | None, status: int | None) -> str:
    lines = [line for line in map(_line, details[:5]) if line]
    candidates = ["; ".join(lines), fields.get("detail"), text, fields.get("message")]
    default = (
        f"fal answered HTTP {status} and gave no reason" if status else "fal reported a failure and gave no reason"
    )
    return next((message for message in map(read_text, candidates) if message), default)


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
    return Fault.INPUT if 400 <= status < 500 and status not in _NOT_ABOUT_INPUT else Fault.PROVIDER


def _retryable(fault: Fault, code: str, headers: Mapping[str, str]) -> bool:
    # Older responses name it x-fal-retryable, newer ones x-fal-needs-retry.
    header = (headers.get("x-fal-needs-retry") or headers.get("x-fal-retryable") or "").lower()
    if header in {"0", "false"}:
        return False
    return fault is Fault.PROVIDER and code != "unexplained"
