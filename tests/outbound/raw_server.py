"""A server of raw sockets on a thread of its own, so that what it sends costs the event loop nothing."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Speak = Callable[[socket.socket], None]


class RawServer:
    """Where the server is, and the head of every request it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heads: list[bytes] = []
        self.sent = 0


@contextlib.contextmanager
def raw_server(speak: Speak) -> Iterator[RawServer]:
    """Serve each connection by `speak`, which gets it when the head of a request has been read."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        there = RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        open_sockets: set[socket.socket] = set()
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
                    head += more
                there.heads.append(head)
                speak(connection)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    open_sockets.add(connection)
                    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield there
        finally:
            for each in (listener, *open_sockets):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)


def says(*parts: bytes) -> Speak:
    """Send the parts and close the connection."""

    def speak(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return speak


def repeats(part: bytes, first: bytes = b"") -> Speak:
    """Send `first`, and then `part` until the client closes the connection."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(part)

    return speak
