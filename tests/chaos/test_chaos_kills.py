"""A steady stream of jobs while the receiver is killed with -9 at random moments and started again."""

import itertools
import os
import random
import secrets
import time
from collections import Counter

import pytest

from tests.chaos.streams import MIX, Stream, judge_deliveries, judge_jobs
from tests.process.children import answers
from tests.process.errands import Errand
from tests.process.house import House
from tests.process.test_process_killed import sound

SECONDS = 150.0
EVERY = 0.12
ALIVE = (0.05, 4.0)
"""How long a receiver lives after its start, in seconds: some die before they have listened."""

SETTINGS = {"FAL_RECONCILE_SECONDS": "2", "FAL_TIMEOUT_SECONDS": "25", "HEYGEN_POLL_SECONDS": "0.5"}


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_no_kill_loses_a_job_or_asks_or_tells_twice(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1 << 32))
    dice, counts, stream = random.Random(seed), Counter[str](), Stream()
    with capsys.disabled():
        print(f"\nkills: CHAOS_SEED={seed}")  # noqa: T201 - to run the same again
    house.settings |= SETTINGS
    kill_while_asking(house, stream, dice, counts)
    house.start()
    while stream.unanswered:
        stream.ask(house, stream.unanswered.popleft())
    house.wait_settled(70)
    judge_jobs(house, stream, counts)
    judge_deliveries(house, stream, counts)
    sound(house)
    assert not house.telemetry("worker.task_failed")
    assert "Traceback" not in (house.folder / "receiver.log").read_text()
    counts["asked again"] = stream.again
    with capsys.disabled():
        print("kills:", ", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))  # noqa: T201 - the counts are what such a run is for


def kill_while_asking(house: House, stream: Stream, dice: random.Random, counts: Counter[str]) -> None:
    began = time.monotonic()
    house.start()
    dies_at = began + dice.uniform(*ALIVE)
    for number in itertools.count():
        now = time.monotonic()
        if now > began + SECONDS:
            break
        if now > dies_at:
            house.kill()
            counts["kills"] += 1
            house.launch()
            dies_at = time.monotonic() + dice.uniform(*ALIVE)
        if stream.unanswered and answers(house.neighbours.http, f"{house.url}/healthz"):
            stream.ask(house, stream.unanswered.popleft())
        provider, faults = dice.choice(MIX)
        stream.ask(house, Errand(provider=provider, faults=faults))
        time.sleep(max(0.0, began + number * EVERY - time.monotonic()))  # the rate of the stream, no wait for anything
    house.kill()
