"""How resources declare their addresses."""

from collections.abc import Awaitable, Callable

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


def endpoint(**handlers: Handler) -> type[HTTPEndpoint]:
    """Make the endpoint of one address from the handler of each method: `endpoint(get=self.list, post=self.create)`.

    Another method is answered 405, with all of these in `Allow`.
    """
    return type("Endpoint", (HTTPEndpoint,), {method: staticmethod(handler) for method, handler in handlers.items()})
