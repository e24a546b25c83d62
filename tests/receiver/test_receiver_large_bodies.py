"""Whatever a large body holds, the event loop goes on.

That is measured in processor time, which does not depend on what else the machine does.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Iterator

import pytest

from outbound.targets import Targets
from receiver.api.job_requests import JobRequests
from receiver.bodies.json_fields import MOST_VALUES
from receiver.bodies.large_bodies import LARGE, LargeBodies
from receiver.web.problems import Problem
from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import callback_body

SIZE = 4 * 2**20
LONGEST_HOLD = 0.1
"""Seconds. 0.01 to 0.03 is usual. The bodies below took 5.9 s at once when they were read by the event loop."""


def filled(unit: bytes, most: int = SIZE) -> bytes:
    """An input of 4 MB of one value, or of as many as there may be."""
    return b'{"x":[%s0]}' % (unit * min((SIZE - 100) // len(unit), most))


WITHIN = MOST_VALUES - 3
BODIES = {
    "numbers with an exponent": filled(b"1e300,"),
    "numbers with an exponent, to the limit": filled(b"1e300,", WITHIN),
    "fractions": filled(b"0.12345678901234567e-300,", WITHIN),
    "integers": filled(b"1,"),
    "integers, to the limit": filled(b"1,", WITHIN),
    "long integers": filled(b"7" * 300 + b",", WITHIN),
    "integers that are too long": filled(b"7" * 4300 + b","),
    "one integer": b'{"x":%s}' % (b"7" * SIZE),
    "one fraction": b'{"x":0.%s}' % (b"7" * SIZE),
    "open arrays": b'{"x":' + b"[" * SIZE,
    "open objects": b'{"a":' * (SIZE // 5),
    "empty arrays": filled(b"[],"),
    "empty arrays, to the limit": filled(b"[],", WITHIN),
    "objects, to the limit": filled(b'{"a":1},', WITHIN // 2),
    "keys, to the limit": b"{%s}" % b",".join(b'"k%d":1' % number for number in range(WITHIN)),
    "halves of surrogate pairs": b'{"x":"%s"}' % (rb"\ud83d" * (SIZE // 6)),
    "surrogate pairs": b'{"x":"%s"}' % (rb"\ud83c\udfac" * (SIZE // 12)),
    "escapes": b'{"x":"%s"}' % (rb"\n" * (SIZE // 2)),
    "a string without an end": b'{"x":"' + rb"\"" * (SIZE // 2),
    "separators in strings": filled(b'"[{,[{,[{,",', WITHIN),
    "one string": b'{"x":"%s"}' % (b"a" * SIZE),
    "white space": b'{"x":%s1}' % (b" " * SIZE),
}


@pytest.fixture(autouse=True)
def _few_objects() -> Iterator[None]:
    """Exempt what the tests have made from garbage collection, as the process does at startup."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def longest_hold(awaitable: Awaitable[object]) -> float:
    """Return the longest time for which the event loop did not run, while awaiting."""
    task = asyncio.ensure_future(awaitable)
    longest, before = 0.0, time.process_time()
    while not task.done():
        await asyncio.sleep(0)
        now = time.process_time()
        longest, before = max(longest, now - before), now
    await asyncio.gather(task, return_exceptions=True)
    return longest


@pytest.mark.parametrize("name", BODIES)
async def test_no_body_of_a_job_holds_the_event_loop(name: str) -> None:
    requests = JobRequests(providers=("fal",), targets=Targets(()), signing=True)
    body = b'{"provider":"fal","model":"a/b","input":%s}' % BODIES[name]
    read = LargeBodies().run(body, requests.read, body, "key-1")
    assert await longest_hold(read) < LONGEST_HOLD


@pytest.mark.parametrize("unit", [b"1e300,", b"0.12345678901234567e-300,"])
async def test_no_number_in_a_callback_holds_the_event_loop(make_receiver: MakeReceiver, unit: bytes) -> None:
    receiver = make_receiver(MAX_BODY_BYTES=str(2 * SIZE))
    job_id = await receiver.story.submit()
    body = callback_body()[:-1] + b',"x":%s}' % filled(unit)
    assert await longest_hold(receiver.call_back(job_id, body)) < LONGEST_HOLD
    assert receiver.counted("callback.recorded", provider="fal", result="recorded", state="completed") == 1


async def test_large_bodies_are_read_one_at_a_time_and_short_ones_at_once() -> None:
    bodies, running = LargeBodies(), 0

    def read(body: bytes) -> int:
        nonlocal running
        running += 1
        sum(range(200_000))
        running -= 1
        return running

    large = [asyncio.create_task(bodies.run(b"x" * (LARGE + 1), read, b"")) for _ in range(5)]
    await asyncio.sleep(0)
    assert await bodies.run(b"x" * LARGE, len, b"abc") == 3
    assert await asyncio.gather(*large) == [0] * 5


async def test_a_large_body_that_is_refused_raises_its_problem() -> None:
    requests = JobRequests(providers=("fal",), targets=Targets(()), signing=True)
    body = b"[" * (LARGE + 1)
    with pytest.raises(Problem):
        await LargeBodies().run(body, requests.read, body, None)
