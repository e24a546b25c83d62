"""Answers that are none."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class HangUp(Response):
    """Drops the connection without sending a byte, as a crash between acceptance and answer would."""

    async def __call__(self, _: Scope, receive: Receive, __: Send) -> None:
        """Abort the transport and wait until the server has noticed."""
        # ASGI has no word for this. Uvicorn's `receive` is a method of the cycle that holds the transport.
        transport = getattr(getattr(receive, "__self__", None), "transport", None)
        if transport is None:
            raise ConnectionAbortedError("the submit's connection is dropped without an answer")
        transport.abort()
        await receive()
