"""Why HeyGen said no, in one shape, from the several shapes its versions use.

{"error": {"code", "message"}}, {"error": {"type", "message"}}, {"error": "text"}, each at the top or under `data`;
{"code": 400664, "message"}; {"code": 100, "data": ...} is no error. HTTP 200 may carry any of them.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ledger.records import Fault, JobError
from providers.http import Response
from providers.reading import read_code, read_mapping, read_text

# https://developers.heygen.com/docs/usage-limits
_ACCOUNT_CODES = frozenset(
    [
        "unauthorized",
        "forbidden",
        "insufficient_credit",
        "trial_limit_exceeded",
        "trial_video_limit_exceeded",
        "400664",
        "subscription_required",
        "plan_upgrade_required",
        "insufficient_api_key_scope",
        "resource_access_denied",
        "phone_verification_required",
        "quota_exceeded",
        "movio_payment_insufficient_credit",
    ]
)
_INPUT_CODES = frozenset(
    [
        "invalid_parameter",
        "download_failed",
        "content_policy_violation",
        "avatar_not_usable",
        "avatar_consent_required",
        "voice_not_usable",
        "payload_too_large",
    ]
)
_BUSY_CODES = frozenset(
    ["rate_limit_exceeded", "request_in_progress", "resource_not_ready", "internal_error", "service_unavailable"]
)
# The old numbers do not say whose fault it is: 400112 is a wrong key and 400664 a used-up trial.
_ACCOUNT_WORDS = re.compile(
    r"unauthori[sz]ed|api key|insufficient|credit|subscription|upgrade|quota|trial", re.IGNORECASE
)
_SUCCESS = frozenset({"100", "0", "200"})


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """What HeyGen gave as the reason, before it is sorted. Either may be None."""

    code: str | None
    message: str | None


def find_complaint(said: object) -> Complaint | None:
    """Find the error in an answer's body, wherever it stands; None when there is none."""
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    data = told.get("data")
    for place in (data if isinstance(data, dict) else {}, told):
        if place.get("error"):
            return _complain(place["error"])
    code = read_code(told.get("code"))
    if code is not None and code not in _SUCCESS:
        return Complaint(code=code, message=read_text(told.get("message")) or read_text(told.get("msg")))
    return None


def read_failure(said: object, *, status: int | None = None) -> JobError:
    """Sort a failure by whose fault it is. Never raises; the message is never empty and at most 1,000 characters.

    `said` is the decoded body; `status` the HTTP status when it speaks of the request, None when the job failed.
    """
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    found = find_complaint(said) or Complaint(code=None, message=None)
    candidates = [found.message, told.get("message"), told.get("detail")]
    failing = status if status is not None and status >= 300 else None
    unsaid = f"HeyGen answered HTTP {failing} and gave no reason" if failing else "HeyGen failed it and gave no reason"
    message = next((text for text in map(read_text, candidates) if text), unsaid)
    code = found.code or (f"http_{failing}" if failing else "unexplained")
    fault = _fault(code.lower(), failing, message)
    busy = code.lower() in _BUSY_CODES or (failing is not None and (failing in {408, 409, 425, 429} or failing >= 500))
    return JobError(fault=fault, code=code, message=message, retryable=busy and fault is Fault.PROVIDER)


def read_answer_failure(answer: Response) -> JobError:
    """Sort an answer that carries an error, JSON or not."""
    return read_failure(read_mapping(answer.body), status=answer.status)


def is_busy(error: JobError) -> bool:
    """Tell whether HeyGen's own code says that it did not take the request this time."""
    return error.code.lower() in _BUSY_CODES


def _complain(error: object) -> Complaint:
    if isinstance(error, dict):
        code = read_code(error.get("code")) or read_code(error.get("type"))
        texts = (error.get("message"), error.get("msg"), error.get("detail"))
        return Complaint(code=code, message=next((text for text in map(read_text, texts) if text), None))
    return Complaint(code=None, message=read_text(error))


def _fault(code: str, status: int | None, message: str) -> Fault:
    if code in _ACCOUNT_CODES:
        return Fault.ACCOUNT
    if code in _INPUT_CODES or code.endswith("_not_found"):
        return Fault.INPUT
    if code in _BUSY_CODES:
        return Fault.PROVIDER
    if status in {401, 402, 403} or (code.isdigit() and _ACCOUNT_WORDS.search(message)):
        return Fault.ACCOUNT
    if status is None:
        return Fault.INPUT if code.isdigit() and code.startswith("400") else Fault.PROVIDER
    return Fault.INPUT if 400 <= status < 500 and status not in {408, 409, 425, 429} else Fault.PROVIDER
