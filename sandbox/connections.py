"""A response that drops its connection."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class DropConnection(Response):
    """Closes the connection without sending a byte, as a server does that crashes after it accepted the job."""

    async def __call__(self, _: Scope, receive: Receive, __: Send) -> None:
        """Abort the transport and wait until the server has noticed."""
        # ASGI cannot express this. Uvicorn's `receive` is a method of the cycle that holds the transport.
        transport = getattr(getattr(receive, "__self__", None), "transport", None)
        if transport is None:
            raise ConnectionAbortedError("the connection is dropped without a response")
        transport.abort()
        await receive()
