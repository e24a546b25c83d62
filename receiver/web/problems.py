"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from ledger.errors import LedgerError, Unanswered
from receiver.views.problem import FieldError, ProblemView


class Problem(Exception):
    """A request that cannot be served, and the response to it.

    `detail` says what would be right; `errors` are fields of the request and what is wrong with each.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers

    def response(self) -> Response:
        """Make the response. The title is the status' phrase, as RFC 9457 asks for with `about:blank`."""
        view = ProblemView(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=tuple(FieldError(field=field, message=message) for field, message in self.errors) or msgspec.UNSET,
        )
        return Response(
            msgspec.json.encode(view),
            status_code=self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def no_job(job_id: str) -> Problem:
    """Make the 404 for a job that does not exist."""
    return Problem(404, f"there is no job {job_id[:64]!r}")


def service_unavailable(detail: str, retry_after: int = 1) -> Problem:
    """Make the 503 for what may work again in `retry_after` seconds."""
    return Problem(503, detail, headers={"Retry-After": str(retry_after)})


def database_problem(error: LedgerError) -> Problem:
    """Make the response to a request during which the database failed."""
    if isinstance(error, Unanswered):
        return service_unavailable(
            "the database did not confirm the change, which may have been made: check before you retry"
        )
    return service_unavailable("the database is not available; nothing was changed")


def internal_error(error: Exception) -> Problem:
    """Make the 500 for an unforeseen exception. The response has its class; the traceback is in the log."""
    return Problem(500, f"an unforeseen error ({type(error).__name__}); the log has its traceback")
