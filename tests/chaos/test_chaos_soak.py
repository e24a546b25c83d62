"""A minute of steady work: memory and files stay flat, and afterwards the receiver sleeps."""

import os
import statistics
import time
from pathlib import Path

import pytest

from tests.process.deployment import Deployment
from tests.process.job_requests import JobRequest

SECONDS = 60.0
EVERY = 0.08
WARM_UP = 20.0
IDLE_SECONDS = 5.0
MIX = (("fal", ""), ("fal", "lost"), ("heygen", ""), ("fal", "duplicate"), ("fal", "failed"))
TICKS = os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.mark.chaos
@pytest.mark.timeout(150)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it reads /proc, which only Linux has")
def test_a_minute_of_work_leaves_memory_and_files_flat_and_the_process_asleep(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.settings |= {"FAL_RECONCILE_SECONDS": "1", "HEYGEN_POLL_SECONDS": "0.3"}
    pid = deployment.start().pid
    began = time.monotonic()
    samples: list[tuple[float, float, int]] = []
    asked = 0
    while (now := time.monotonic() - began) < SECONDS:
        provider, faults = MIX[asked % len(MIX)]
        assert deployment.submit(JobRequest(provider=provider, faults=faults))
        asked += 1
        samples.append((now, resident_mb(pid), open_files(pid)))
        time.sleep(max(0.0, began + asked * EVERY - time.monotonic()))  # the rate, no wait for anything
    deployment.wait_settled(20)
    early = [sample for sample in samples if WARM_UP <= sample[0] < WARM_UP + 10]
    late = [sample for sample in samples if sample[0] >= SECONDS - 10]
    grown = statistics.median(mb for _, mb, _ in late) - statistics.median(mb for _, mb, _ in early)
    files = max(number for *_, number in late) - max(number for *_, number in early)
    used = cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)  # what is measured is a time in which nothing happens
    idle = (cpu_seconds(pid) - used) / IDLE_SECONDS
    measured = (
        f"{asked} jobs; resident {resident_mb(pid):.1f} MB, grown {grown:.1f} MB; "
        f"{open_files(pid)} files, at most {files} more; {used:.1f} s of CPU at work, {idle:.1%} idle"
    )
    with capsys.disabled():
        print(f"\nsoak: {measured}")  # noqa: T201 - the figures are what such a run is for
    assert len(deployment.rows("SELECT id FROM jobs WHERE state IN ('completed', 'failed')")) == asked
    assert grown < 6
    assert files <= 10
    assert idle < 0.02
