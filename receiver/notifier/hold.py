"""What a worker with the lease of an endpoint does next: read more deliveries, wait, or release it."""

import enum

import msgspec

LINGER_SECONDS = 1.0
"""How long an endpoint is held when nothing is left to send, so that the next delivery needs no new lease."""

READ_SECONDS = 1.0
"""How often to read deliveries that came due by time while requests are in flight. New ones set an event."""

GATHER_SECONDS = 0.05
"""How long new deliveries may wait to be read with others, while less than half of the window is free."""


class Leave(enum.Enum):
    """Release the endpoint."""

    LEAVE = enum.auto()


class Read(enum.Enum):
    """Read due deliveries and begin as many as there is room for."""

    READ = enum.auto()


class Wait(msgspec.Struct, frozen=True):
    """Wait for `seconds`, or until something is new or a request ends. `last` leaves if nothing came."""

    seconds: float
    last: bool = False


Decision = Leave | Read | Wait
LEAVE, READ = Leave.LEAVE, Read.READ


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A held endpoint at one moment.

    `window` is how many requests may be in flight. `new` says that something was enqueued or ended since the last
    reading, `since_read` is the seconds since then; it is 0 when nothing has been waited for in between. A request may
    begin in `rate_wait` seconds by the endpoint's own limit. `open` says that requests may begin: the time to hold is
    not over, the database works, the process is not stopping. `crowded` says that other endpoints need the place.
    """

    window: int
    in_flight: int
    new: bool
    since_read: float
    rate_wait: float
    open: bool
    crowded: bool


def decide(hold: Hold) -> Decision:
    """Return what comes next."""
    free = hold.window - hold.in_flight if hold.open and not hold.rate_wait else 0
    # A reading reads those in flight again: it is worth it for half of the window, or when it has waited.
    waited = hold.since_read >= (GATHER_SECONDS if hold.new else READ_SECONDS)
    if free > 0 and hold.since_read and (free * 2 >= hold.window or waited):
        return READ
    if hold.in_flight:
        return Wait(GATHER_SECONDS if hold.new and free > 0 else READ_SECONDS)
    if hold.open and hold.rate_wait:
        return Wait(hold.rate_wait)
    if not hold.open or hold.crowded:
        return LEAVE
    return Wait(LINGER_SECONDS, last=True)
