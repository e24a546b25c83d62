"""One request and its response, as ASGI has them: https://asgi.readthedocs.io/en/latest/specs/www.html."""

import asyncio
import logging
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Scope

from receiver.http.heads import Head, Header
from receiver.http.request_bodies import open_body
from receiver.http.responses import CONTINUE, ResponseHead, render_head
from receiver.http.write_flow import WriteFlow
from receiver.web.problems import Problem, internal_error, service_unavailable

_DISCONNECT: Message = {"type": "http.disconnect"}
_ASGI = {"version": "3.0", "spec_version": "2.3"}
_LOG = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """What an exchange asks of its connection. `buffer` has what was received and not read yet."""

    buffer: bytearray
    transport: asyncio.Transport
    flow: WriteFlow

    @property
    def response_headers(self) -> list[Header]:
        """Those of every response."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether this is to be the last response."""
        ...

    def body_taken(self, *, complete: bool) -> None:
        """Receive more: the application has read what was in the buffer."""
        ...

    def exchange_ended(self, exchange: "Exchange") -> None:
        """Go on with the next request, or end the connection."""
        ...

    def refuse(self, problem: Problem) -> None:
        """Answer the request with a problem and end the connection; the application is disconnected."""
        ...


class Exchange:
    """A request that an application answers. `disconnected` is set when it can no longer be answered."""

    __slots__ = (
        "_changed",
        "_connection",
        "_continue",
        "_cut",
        "_delivered",
        "_keep_alive",
        "_method",
        "_response",
        "_sent",
        "_version",
        "body",
        "complete",
        "disconnected",
        "scope",
        "started",
        "wants_body",
    )

    def __init__(self, connection: Connection, head: Head, server: Any, client: Any) -> None:
        self._connection = connection
        self.body = open_body(head.length)
        self._method, self._version, self._keep_alive = head.method, head.version, head.keep_alive
        self._continue = head.expects_continue
        self._changed: asyncio.Event | None = None
        self._cut = self._delivered = False
        self._response: ResponseHead | None = None
        self._sent = 0
        self.started = self.complete = self.disconnected = self.wants_body = False
        self.scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "server": server,
            "client": client,
            "scheme": "http",
            "root_path": "",
            "method": head.method,
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "headers": head.headers,
        }

    # --- what the connection reports ---

    def data_arrived(self) -> None:
        """Let an application that waits for the body read it."""
        if self._changed is not None:
            self._changed.set()

    def cut_short(self) -> None:
        """Report that the client sends no more; it may still read the response."""
        self._cut = True
        self.data_arrived()

    def disconnect(self) -> None:
        """Report that the client does not read the response."""
        self.disconnected = True
        self.data_arrived()

    # --- what the application does ---

    async def run(self, app: ASGIApp) -> None:
        """Run the application. Its exceptions are logged, and answered 500 if there is no response yet."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:  # the time to stop is over
            self._fail(service_unavailable("the receiver stops; a change may have been made: check before you retry"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer and the log a traceback
            _LOG.error("Exception in ASGI application", exc_info=error)
            self._fail(internal_error(error))
        else:
            if not self.complete and not self.disconnected:
                _LOG.error("The ASGI application returned without a complete response")
                self._fail(Problem(500, "the response is missing"))

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow on the connection."""
        return self._response is not None and self._response.keep_alive

    def _fail(self, problem: Problem) -> None:
        if not self.complete and not self.disconnected:
            self._connection.refuse(problem)

    async def receive(self) -> Message:
        """Return the next part of the body, or `http.disconnect` once there is none."""
        buffer = self._connection.buffer
        while not (self._delivered or self._is_over):
            before = len(buffer)
            message = self._take_body()
            if self._has_more_chunks(before):
                await asyncio.sleep(0)  # others have their turn
            elif message is None and self._cut:
                return _DISCONNECT
            elif message is None and not self.disconnected:
                await self._wait_for_body()
            if message is not None:
                return message
        while not self._is_over:
            await self._wait_for_change()
        return _DISCONNECT

    def _take_body(self) -> Message | None:
        """Return what has arrived of the body. None: nothing has, or it is malformed and was refused."""
        connection, body = self._connection, self.body
        try:
            data = body.take(connection.buffer)
        except Problem as problem:
            connection.refuse(problem)
            return None
        connection.body_taken(complete=body.complete)
        if not (data or body.complete):
            return None
        self._delivered = body.complete
        return {"type": "http.request", "body": data, "more_body": not body.complete}

    def _has_more_chunks(self, before: int) -> bool:
        """Return whether something was taken of a buffer of `before` bytes, and some of the body may still be there."""
        return not self.body.complete and 0 < len(self._connection.buffer) < before

    async def _wait_for_body(self) -> None:
        if self._continue and not self.started:
            self._continue = False
            self._connection.transport.write(CONTINUE)
        self.wants_body = True
        await self._wait_for_change()
        self.wants_body = False

    async def _wait_for_change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    @property
    def _is_over(self) -> bool:
        return self.complete or self.disconnected

    async def send(self, message: Message) -> None:
        """Send the head of the response, or a part of its body. Waits while the client does not take what was sent."""
        flow = self._connection.flow
        if flow.paused and not self.disconnected:
            await flow.drained()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.started:
            self._send_head(message)
        elif kind == "http.response.body" and self.started and not self.complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"the ASGI message {kind} has no place here")

    def _send_head(self, message: Message) -> None:
        connection = self._connection
        # A body that is still to come could be taken for the next request.
        has_arrived = self.body.complete or self.body.has_arrived(connection.buffer)
        head = render_head(
            message["status"],
            [*connection.response_headers, *message.get("headers", ())],
            version=self._version,
            has_body=self._method != "HEAD",
            keep_alive=self._keep_alive and has_arrived and not connection.stopping,
        )
        self.started = True
        self._response = head
        connection.transport.write(head.data)

    def _send_body(self, data: bytes, *, more: bool) -> None:
        head = self._response
        assert head is not None
        if head.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            data += b"" if more else b"0\r\n\r\n"
        elif head.length is not None:
            data = data if head.has_body else b""
            self._sent += len(data)
            if self._sent > head.length or (self._sent < head.length and not more):
                raise RuntimeError(f"the response has {self._sent} bytes, and its Content-Length is {head.length}")
        if data:
            self._connection.transport.write(data)
        if not more:
            self.complete = True
            self.data_arrived()
            self._connection.exchange_ended(self)
