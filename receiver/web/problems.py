"""Errors as RFC 9457 problem details: one body for everything that goes wrong, with what would be right."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

_TITLES = {
    400: "The request cannot be read",
    401: "Not authorised",
    404: "There is no such thing",
    405: "This method is not for this address",
    409: "This contradicts what is there",
    413: "The body is too long",
    415: "The body is not JSON",
    422: "The request cannot be carried out",
    500: "Renderhook made a internal_error",
    503: "Not just now",
}


class Problem(Exception):
    """A request that cannot be served, as the answer to give. `errors` name fields and what is wrong with each."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: tuple[Mapping[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers

    def response(self) -> Response:
        """Make the answer. https://www.rfc-editor.org/rfc/rfc9457"""
        body: dict[str, object] = {
            "type": "about:blank",
            "title": _TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = self.errors
        return Response(
            msgspec.json.encode(body),
            status_code=self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def service_unavailable(detail: str, retry_after: int = 1) -> Problem:
    """Make the 503 for what may work again in `retry_after` seconds."""
    return Problem(503, detail, headers={"Retry-After": str(retry_after)})


def internal_error(error: Exception) -> Problem:
    """Make the 500 for what nobody foresaw. The traceback is in the log, the answer has its kind."""
    return Problem(500, f"a internal_error of ours ({type(error).__name__}); it is in the log")
