"""Query parameters: each address declares its own as the fields of a Struct, and one function reads them."""

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from receiver.web.fields import describe
from receiver.web.problems import Problem

Query = TypeVar("Query", bound=msgspec.Struct)


class NoParameters(msgspec.Struct, frozen=True):
    """The query of an address that has no parameters."""


def read_query(request: Request, kind: type[Query]) -> Query:
    """Read a request's query parameters as a `kind`. An empty value is an unset one.

    Raises Problem 400 that names an unknown parameter and those allowed, or a parameter and what it must be.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name not in fields:
            allowed = f"allowed are {', '.join(fields)}" if fields else "none is allowed here"
            raise parameter_problem(name, f"is not a query parameter of {request.url.path}; {allowed}")
        if name in values:
            raise parameter_problem(name, "is given twice; once is allowed")
        if text:
            values[name] = _convert(fields[name], text)
    return kind(**values)


def _convert(field: msgspec.structs.FieldInfo, text: str) -> Any:
    for given in (text, text.lstrip("0"), text.replace(" ", "+")):  # 007 is a number; a plus was sent as it is
        try:
            value = msgspec.convert(given, field.type, strict=False)
        except msgspec.ValidationError:
            continue
        if not isinstance(value, int) or (text.isascii() and text.isdigit()):  # not 1e2, not 5.0
            return value
    raise parameter_problem(field.name, f"must be {describe(field.type)}, not {text[:100]!r}")


def parameter_problem(name: str, message: str) -> Problem:
    """Make the 400 for a query parameter that is wrong."""
    name = name[:100]
    return Problem(400, f"{name} {message}", errors=((name, message),))
