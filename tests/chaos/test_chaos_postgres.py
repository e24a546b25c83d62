"""Three receivers and three workers on one Postgres, killed with -9 at random moments and started again."""

import itertools
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.job_stream import MIX, JobStream, check_deliveries, check_jobs
from tests.process.balancer import Balancer
from tests.process.children import Child, answers, until
from tests.process.deployment import Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment

SECONDS = 60.0
EVERY, AT_ONCE = 0.2, 5
"""Seconds from one handful of job requests to the next, and how many there are in one."""

BETWEEN_KILLS = (0.3, 3.0)
OF_EACH = 3
SETTLED_SECONDS = 75.0
"""The leases of the last killed worker (20 s), its claim, and the time after which a job is given up (20 s)."""

SETTINGS = {
    "WORKERS": "0",
    "PROVIDER_TIMEOUT_SECONDS": "3",  # a claim ends after twice that, and 10 s
    "FAL_RECONCILE_SECONDS": "2",
    "FAL_TIMEOUT_SECONDS": "20",
    "HEYGEN_TIMEOUT_SECONDS": "20",
    "HEYGEN_POLL_SECONDS": "0.5",
}


class Processes:
    """Six processes behind one address, each killed and started again by itself."""

    def __init__(self, front: PostgresDeployment, balancer: Balancer) -> None:
        front.settings |= SETTINGS | {"PUBLIC_URL": balancer.url}
        front.url = balancer.url
        self.front = front
        self.receivers = [front.beside(f"receiver-{number}") for number in range(OF_EACH)]
        balancer.ports += [int(receiver.settings["PORT"]) for receiver in self.receivers]
        workers = [partial(front.launch_worker, f"worker-{number}") for number in range(OF_EACH)]
        self._launch: list[Callable[[], Child]] = [*(receiver.launch for receiver in self.receivers), *workers]
        self._children: list[Child | None] = [None] * len(self._launch)

    def start(self) -> None:
        for number in range(len(self._launch)):
            self.restart(number)
        until("a receiver is ready", lambda: answers(self.front.services.http, f"{self.front.url}/readyz"))

    def restart(self, number: int) -> None:
        """kill -9 one, and start it again."""
        if child := self._children[number]:
            assert child.code() is None, f"{child.log.stem} ended by itself with {child.code()}: {child.output}"
            child.kill()
        self._children[number] = self._launch[number]()

    def output(self) -> str:
        logs = {child.log for child in self._children if child}
        return "".join(log.read_text(errors="replace") for log in logs)

    def close(self) -> None:
        for receiver in self.receivers:
            receiver.close()


@pytest.fixture
def processes(tmp_path: Path, database_url: str) -> Iterator[Processes]:
    services = Services(tmp_path, consumer=("--fail-first", "3"))
    front = PostgresDeployment(tmp_path, services, database_url)
    with Balancer() as balancer:
        built = Processes(front, balancer)
        try:
            yield built
        finally:
            built.close()
            front.close()
            services.close()


@pytest.mark.chaos
@pytest.mark.timeout(200)
def test_no_kill_loses_a_callback_or_submits_or_delivers_twice_on_postgres(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1 << 32))
    dice, counts, stream = random.Random(seed), Counter[str](), JobStream()
    with capsys.disabled():
        print(f"\npostgres: CHAOS_SEED={seed}")  # noqa: T201 - to run the same again
    front = processes.front
    kill_while_submitting(processes, stream, dice, counts)
    ended = time.monotonic()
    until("every job is submitted", lambda: submit_again(front, stream) and not stream.unanswered)
    front.wait_settled(SETTLED_SECONDS)
    counts["seconds to settle"] = round(time.monotonic() - ended)
    check_jobs(front, stream, counts)
    check_deliveries(front, stream, counts)
    check_receipts(front, counts)
    output = processes.output()
    assert "worker.task_failed" not in output
    assert "Traceback" not in output
    counts["submitted again"] = stream.resubmitted
    with capsys.disabled():
        print("postgres:", ", ".join(f"{what}: {count}" for what, count in sorted(counts.items())))  # noqa: T201 - the counts are what such a run is for


def kill_while_submitting(processes: Processes, stream: JobStream, dice: random.Random, counts: Counter[str]) -> None:
    processes.start()
    began = time.monotonic()
    kills_at = began + dice.uniform(*BETWEEN_KILLS)
    with ThreadPoolExecutor(AT_ONCE) as clients:
        for number in itertools.count(1):
            job_requests = [
                JobRequest(provider=provider, faults=faults) for provider, faults in dice.choices(MIX, k=AT_ONCE)
            ]
            submitting = [clients.submit(stream.submit, processes.front, job_request) for job_request in job_requests]
            if time.monotonic() > kills_at:
                chosen = dice.randrange(2 * OF_EACH)
                counts["kills of receivers" if chosen < OF_EACH else "kills of workers"] += 1
                processes.restart(chosen)
                kills_at = time.monotonic() + dice.uniform(*BETWEEN_KILLS)
            for each in submitting:
                each.result()
            submit_again(processes.front, stream)
            if time.monotonic() > began + SECONDS:
                return
            time.sleep(max(0.0, began + number * EVERY - time.monotonic()))  # the rate, no wait for anything


def submit_again(front: PostgresDeployment, stream: JobStream) -> bool:
    """Repeat a job request that had no response, if there is one."""
    if stream.unanswered:
        stream.submit(front, stream.unanswered.popleft())
    return True


def check_receipts(front: PostgresDeployment, counts: Counter[str]) -> None:
    """Compare receipts with the jobs that ended, and with the responses that fal got."""
    ended = front.rows("SELECT id, state, source FROM jobs")
    receipts = front.rows("SELECT job_id, request_id, source, result FROM receipts")
    recorded = Counter((row["job_id"], row["source"]) for row in receipts if row["result"] == "recorded")
    assert recorded == Counter((row["id"], row["source"]) for row in ended if row["source"])
    assert {row["source"] for row in ended if row["state"] in {"completed", "failed"}} == {"callback", "poll"}
    kept = Counter(row["request_id"] for row in receipts if row["source"] == "callback")
    acknowledged = Counter[str]()
    taken = front.services.http.get(f"{front.services.sandbox}/sandbox/submissions", timeout=30).json()
    for request, attempt in ((each["id"], attempt) for each in taken for attempt in each["callbacks"]):
        status = attempt["status"] or 0
        acknowledged[request] += 200 <= status < 300
        counts["callbacks unanswered"] += status == 0
        counts["callbacks refused"] += status >= 300
    assert {request: number for request, number in acknowledged.items() if kept[request] < number} == {}
    endings = "SELECT subject FROM events WHERE type NOT IN ('job.accepted', 'job.submitted', 'job.unconfirmed')"
    assert sorted(row["subject"] for row in front.rows(endings)) == sorted(row["id"] for row in ended)
    counts["callbacks acknowledged"] = acknowledged.total()
    counts["receipts of callbacks"] = kept.total()
    counts |= Counter({f"receipts {result}": n for result, n in Counter(row["result"] for row in receipts).items()})
