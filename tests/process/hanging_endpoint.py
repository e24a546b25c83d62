"""An endpoint that receives notifications and does not respond until the test allows it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class HangingEndpoint:
    """`received` has the webhook-id of every POST, in order. They are answered 204 once `answering` is set."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.answering = threading.Event()
        hanging = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                hanging.received.append(self.headers["webhook-id"])
                if hanging.answering.wait(30):
                    self.close_connection = True
                    try:
                        self.send_response(204)
                        self.end_headers()
                    except ConnectionError:
                        return  # the client has disconnected

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.answering.set()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
