"""Removes secrets from what others sent, before it is written: a provider may quote a request, an endpoint its URL."""

from typing import TypeVar

import msgspec

from ledger.records import JobError, Outcome
from ledger.requests import Attempted, Report
from settings.redaction import Redactor

A = TypeVar("A", Attempted, Attempted | None)


def redacted_error(error: JobError, redact: Redactor) -> JobError:
    """Return `error` with its code and its message redacted."""
    return msgspec.structs.replace(error, code=redact(error.code), message=redact(error.message))


def redacted_outcome(outcome: Outcome, redact: Redactor) -> Outcome:
    """Return `outcome` with its error and its warning redacted. The URLs of outputs stay: they were paid for."""
    if outcome.error is None and outcome.warning is None:
        return outcome
    error = outcome.error and redacted_error(outcome.error, redact)
    return msgspec.structs.replace(outcome, error=error, warning=outcome.warning and redact(outcome.warning))


def redacted_report(report: Report, redact: Redactor) -> Report:
    """Return `report` with its outcome redacted, and, of a poll, without known secrets in the body.

    The body of a callback stays as it was signed.
    """
    body = redact.known(report.body) if report.source == "poll" else report.body
    outcome = report.outcome and redacted_outcome(report.outcome, redact)
    if body is report.body and outcome is report.outcome:
        return report
    return msgspec.structs.replace(report, body=body, outcome=outcome)


def redacted_attempt(attempted: A, redact: Redactor) -> A:
    """Return `attempted` with its error and the kept start of the response redacted."""
    if attempted is None or not (attempted.error or attempted.response):
        return attempted
    response = attempted.response and redact(attempted.response.decode("latin-1")).encode("latin-1")
    return msgspec.structs.replace(attempted, error=attempted.error and redact(attempted.error), response=response)
