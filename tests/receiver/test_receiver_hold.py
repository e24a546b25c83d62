"""A table of what a worker with the lease of an endpoint does next."""

import msgspec
import pytest

from receiver.notifier.hold import (
    GATHER_SECONDS,
    LEAVE,
    LINGER_SECONDS,
    READ,
    READ_SECONDS,
    Decision,
    Hold,
    Wait,
    decide,
)

IDLE = Hold(window=4, in_flight=0, new=False, since_read=9.0, rate_wait=0.0, open=True, crowded=False)
LINGER = Wait(LINGER_SECONDS, last=True)


@pytest.mark.parametrize(
    ("changes", "decision"),
    [
        pytest.param({}, READ, id="nothing in flight"),
        pytest.param({"since_read": 0.0}, LINGER, id="just read, and nothing was due"),
        pytest.param({"since_read": 0.0, "crowded": True}, LEAVE, id="just read, and others need the place"),
        pytest.param({"open": False}, LEAVE, id="the time is over"),
        pytest.param({"open": False, "in_flight": 1}, Wait(READ_SECONDS), id="the time is over, one in flight"),
        pytest.param({"in_flight": 2}, READ, id="half of the window is free"),
        pytest.param({"in_flight": 2, "since_read": 0.0}, Wait(READ_SECONDS), id="half is free, just read"),
        pytest.param({"in_flight": 3, "since_read": 0.5}, Wait(READ_SECONDS), id="a quarter is free, read lately"),
        pytest.param({"in_flight": 3, "since_read": READ_SECONDS}, READ, id="a quarter is free, read long ago"),
        pytest.param({"in_flight": 3, "since_read": 0.01, "new": True}, Wait(GATHER_SECONDS), id="new, read lately"),
        pytest.param({"in_flight": 3, "since_read": GATHER_SECONDS, "new": True}, READ, id="new, and gathered"),
        pytest.param({"in_flight": 4, "new": True}, Wait(READ_SECONDS), id="no room"),
        pytest.param({"window": 1, "in_flight": 4}, Wait(READ_SECONDS), id="the window was narrowed"),
        pytest.param({"rate_wait": 0.2}, Wait(0.2), id="the endpoint's own rate"),
        pytest.param({"rate_wait": 0.2, "in_flight": 1}, Wait(READ_SECONDS), id="its own rate, one in flight"),
        pytest.param({"rate_wait": 0.2, "open": False}, LEAVE, id="its own rate, the time is over"),
    ],
)
def test_what_a_worker_does_next(changes: dict[str, object], decision: Decision) -> None:
    assert decide(msgspec.structs.replace(IDLE, **changes)) == decision
