"""HeyGen's errors, read as one `JobError` from the several shapes that its versions use.

{"error": {"code", "message"}}, {"error": {"type", "message"}}, {"error": "text"}, each at the top or under `data`;
{"code": 400664, "message"}; {"code": 100, "data": ...} is no error. HTTP 200 may carry any of them.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ledger.records import Fault, JobError
from providers.http import Response
from providers.reading import read_code, read_text
from providers.responses import TEMPORARY, is_temporary

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
# What one job asked for, such as an avatar of another account or a feature of another plan.
_ONE_JOB_CODES = frozenset(["forbidden", "subscription_required", "plan_upgrade_required", "resource_access_denied"])
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
_TEMPORARY_CODES = frozenset(
    ["rate_limit_exceeded", "request_in_progress", "resource_not_ready", "internal_error", "service_unavailable"]
)
# The older numeric codes do not show whose fault it is: 400112 is a wrong key and 400664 an exhausted trial.
_ACCOUNT_WORDS = re.compile(
    r"unauthori[sz]ed|api key|insufficient|credit|subscription|upgrade|quota|trial", re.IGNORECASE
)
_WHOLE_ACCOUNT_WORDS = re.compile(r"unauthori[sz]ed|api key|insufficient|credit|quota|trial", re.IGNORECASE)
_SUCCESS = frozenset({"100", "0", "200"})


class ErrorFields(msgspec.Struct, frozen=True, kw_only=True):
    """The code and message of an error, as HeyGen wrote them. Either may be None."""

    code: str | None
    message: str | None


def find_error(body: object) -> ErrorFields | None:
    """Find the error in a decoded body, wherever it is; None when there is none."""
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    data = fields.get("data")
    for mapping in (data if isinstance(data, dict) else {}, fields):
        if mapping.get("error"):
            return _read_error_value(mapping["error"])
    code = read_code(fields.get("code"))
    if code is not None and code not in _SUCCESS:
        return ErrorFields(code=code, message=read_text(fields.get("message")) or read_text(fields.get("msg")))
    return None


def read_error(body: object, *, status: int | None = None) -> JobError:
    """Read an error and whose fault it is. Never raises; the message is never empty and at most 1,000 characters.

    `body` is the decoded body; `status` the HTTP status when it is about the request, None when the job failed.
    """
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    found = find_error(body) or ErrorFields(code=None, message=None)
    candidates = [found.message, fields.get("message"), fields.get("detail")]
    failing = status if status is not None and status >= 300 else None
    default = f"HeyGen answered HTTP {failing} and gave no reason" if failing else "HeyGen failed it and gave no reason"
    message = next((text for text in map(read_text, candidates) if text), default)
    code = found.code or (f"http_{failing}" if failing else "unexplained")
    fault = _fault(code.lower(), failing, message)
    temporary = code.lower() in _TEMPORARY_CODES or (failing is not None and is_temporary(failing))
    return JobError(fault=fault, code=code, message=message, retryable=temporary and fault is Fault.PROVIDER)


def read_error_response(response: Response) -> JobError:
    """Read the error of a response, JSON or not."""
    return read_error(response.fields, status=response.status)


def concerns_account(error: JobError, response: Response) -> bool:
    """Return whether every job would be refused with this error: the key is wrong, the credit or quota is used up."""
    if error.fault is not Fault.ACCOUNT or error.code.lower() in _ONE_JOB_CODES:
        return False
    by_words = error.code.isdigit() and _WHOLE_ACCOUNT_WORDS.search(error.message) is not None
    return response.status in {401, 402} or by_words or error.code.lower() in _ACCOUNT_CODES


def is_temporary_error(error: JobError) -> bool:
    """Return whether HeyGen's own code says that it did not process the request this time."""
    return error.code.lower() in _TEMPORARY_CODES


def _read_error_value(error: object) -> ErrorFields:
    if isinstance(error, dict):
        code = read_code(error.get("code")) or read_code(error.get("type"))
        texts = (error.get("message"), error.get("msg"), error.get("detail"))
        return ErrorFields(code=code, message=next((text for text in map(read_text, texts) if text), None))
    return ErrorFields(code=None, message=read_text(error))


def _fault(code: str, status: int | None, message: str) -> Fault:
    if code in _ACCOUNT_CODES:
        return Fault.ACCOUNT
    if code in _INPUT_CODES or code.endswith("_not_found"):
        return Fault.INPUT
    if code in _TEMPORARY_CODES:
        return Fault.PROVIDER
    if status in {401, 402, 403} or (code.isdigit() and _ACCOUNT_WORDS.search(message)):
        return Fault.ACCOUNT
    if status is None:
        return Fault.INPUT if code.isdigit() and code.startswith("400") else Fault.PROVIDER
    return Fault.INPUT if 400 <= status < 500 and status not in TEMPORARY else Fault.PROVIDER
