"""Errors as JSON: RFC 9457 problem details. https://www.rfc-editor.org/rfc/rfc9457"""

import msgspec


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the request (a parameter of its query) and what is wrong with it."""

    field: str
    message: str


class ProblemView(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every error. `detail` says what would be right; `errors` are left out when no field is at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[FieldError, ...] | msgspec.UnsetType = msgspec.UNSET
