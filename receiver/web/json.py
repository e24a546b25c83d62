"""Responses with a JSON body."""

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from receiver.web.problems import Problem


def json_response(body: msgspec.Struct, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make the response with `body` as JSON."""
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type="application/json")


def check_json(request: Request) -> None:
    """Raise Problem 415 unless the body is declared to be JSON, and as it is, not compressed.

    This also keeps other web pages out: a browser sends JSON to another origin only after a preflight request.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        given = f"is {kind[:100]!r}" if kind else "is missing"
        raise Problem(415, f"the Content-Type {given}; it must be application/json")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(415, f"the Content-Encoding is {encoding[:100]!r}; send the body as it is, without one")
