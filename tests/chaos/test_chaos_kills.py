"""A steady stream of jobs while the receiver is killed with -9 at random moments and started again."""

import itertools
import os
import random
import secrets
import time
from collections import Counter

import pytest

from tests.chaos.job_stream import MIX, JobStream, check_deliveries, check_jobs
from tests.process.children import answers
from tests.process.deployment import Deployment
from tests.process.job_requests import JobRequest
from tests.process.test_process_killed import check_integrity

SECONDS = 150.0
EVERY = 0.12
ALIVE = (0.05, 4.0)
"""How long a receiver runs before it is killed, in seconds. The shortest end before it listens."""

SETTINGS = {
    "FAL_RECONCILE_SECONDS": "2",
    "FAL_TIMEOUT_SECONDS": "25",
    "HEYGEN_TIMEOUT_SECONDS": "25",
    "HEYGEN_POLL_SECONDS": "0.5",
}


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_no_kill_loses_a_job_or_submits_or_delivers_twice(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1 << 32))
    dice, counts, stream = random.Random(seed), Counter[str](), JobStream()
    with capsys.disabled():
        print(f"\nkills: CHAOS_SEED={seed}")  # noqa: T201 - to run the same again
    deployment.settings |= SETTINGS
    kill_while_submitting(deployment, stream, dice, counts)
    deployment.start()
    while stream.unanswered:
        stream.submit(deployment, stream.unanswered.popleft())
    deployment.wait_settled(70)
    check_jobs(deployment, stream, counts)
    check_deliveries(deployment, stream, counts)
    check_integrity(deployment)
    assert not deployment.logged("worker.task_failed")
    assert "Traceback" not in (deployment.folder / "receiver.log").read_text()
    counts["submitted again"] = stream.resubmitted
    with capsys.disabled():
        print("kills:", ", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))  # noqa: T201 - the counts are what such a run is for


def kill_while_submitting(deployment: Deployment, stream: JobStream, dice: random.Random, counts: Counter[str]) -> None:
    began = time.monotonic()
    deployment.start()
    dies_at = began + dice.uniform(*ALIVE)
    for number in itertools.count():
        now = time.monotonic()
        if now > began + SECONDS:
            break
        if now > dies_at:
            deployment.kill()
            counts["kills"] += 1
            deployment.launch()
            dies_at = time.monotonic() + dice.uniform(*ALIVE)
        if stream.unanswered and answers(deployment.services.http, f"{deployment.url}/healthz"):
            stream.submit(deployment, stream.unanswered.popleft())
        provider, faults = dice.choice(MIX)
        stream.submit(deployment, JobRequest(provider=provider, faults=faults))
        time.sleep(max(0.0, began + number * EVERY - time.monotonic()))  # the rate of the stream, no wait for anything
    deployment.kill()
