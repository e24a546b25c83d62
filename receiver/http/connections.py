"""The connections of a server: how many there may be, how long each may take, and which is closed to make room."""

from typing import Any

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection may take. Times are in seconds."""

    head_seconds: float = 20.0
    """To send a request's head, or to begin the first one."""

    body_seconds: float = 30.0
    """To send a request's body after its head. fal waits 15 s for the first response."""

    keep_alive_seconds: float = 3700.0
    """Between a response and the next request."""

    stalled_seconds: float = 30.0
    """To take `stalled_bytes` of a response that waits to be sent."""

    stalled_bytes: int = 16_384

    read_ahead: int = 65_536
    """Bytes that are kept before their turn: of a body before the application reads it, of the requests behind it."""

    linger_seconds: float = 30.0
    """After the last response, for what the client still sends: https://www.rfc-editor.org/rfc/rfc9112#section-9.6."""

    linger_idle_seconds: float = 5.0
    """As `linger_seconds`, while nothing arrives."""

    linger_bytes: int = 64 << 20
    """What is read and dropped of a body that was refused. More, and the connection is reset."""

    stopping_seconds: float = 0.5
    """As `linger_seconds`, when the server stops."""

    evict_after: float = 1.0
    """Without a request for this long, a connection makes room for a new one when there are `most`."""

    most: int | None = None
    """Connections at once."""


class WaitingConnections:
    """The connections that wait for a request or for the client to close, the longest waiting first."""

    def __init__(self) -> None:
        self._since: dict[Any, float] = {}

    def add(self, connection: Any, now: float) -> None:
        """Count a connection as waiting from `now`, if it does not wait already."""
        self._since.setdefault(connection, now)

    def remove(self, connection: Any) -> None:
        """Do not count it any more."""
        self._since.pop(connection, None)

    def longest(self, since: float) -> Any:
        """Return the one that waits longest, if it waits since `since` or before; otherwise None."""
        first = next(iter(self._since), None)
        return first if first is not None and self._since[first] <= since else None
