"""Load on a server, from the other core: wrk where it is installed, otherwise our own generator."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.dataset import Dataset
from tests.bench.processes import LOAD_CORE, Server, pinned
from tests.process.children import ROOT

CONNECTIONS = 64


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a load. `faults` are responses other than 200, and requests without one."""

    per_second: float
    answered: int
    faults: int
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Of the server, for each response: user and system time, microseconds."""


def burst(
    server: Server, dataset: Dataset, seconds: int, *, again: bool = False, connections: int = CONNECTIONS
) -> LoadResult:
    """Send as fast as responses come. `again` starts over when every callback was sent."""
    before = server.cpu_seconds
    if shutil.which("wrk"):
        answered = _wrk(server, dataset, seconds, again=again, connections=connections)
    else:
        answered = _load_result(generate(server, dataset, seconds=seconds, connections=connections))
    return msgspec.structs.replace(answered, cpu_us=1e6 * (server.cpu_seconds - before) / max(1, answered.answered))


def steady(server: Server, dataset: Dataset, seconds: float, rate: float, **options: Any) -> LoadResult:
    """Send at a rate, whatever the responses."""
    before = server.cpu_seconds
    answered = _load_result(generate(server, dataset, seconds=seconds, rate=rate, **options))
    return msgspec.structs.replace(answered, cpu_us=1e6 * (server.cpu_seconds - before) / max(1, answered.answered))


def generate(
    server: Server,
    dataset: Dataset,
    *,
    seconds: float,
    rate: float | None = None,
    connections: int = CONNECTIONS,
    skip: int = 0,
    ready: int = 20_000,
) -> dict[str, Any]:
    """Run our own generator, and return its summary."""
    out = server.child.log.parent / "generated.json"
    words = [sys.executable, "-m", "tests.bench.generator", str(dataset.folder), server.url]
    words += ["--seconds", str(seconds), "--connections", str(connections), "--skip", str(skip)]
    words += ["--ready", str(ready), "--out", str(out)]
    words += ["--rate", str(rate)] if rate else []
    subprocess.run(pinned(LOAD_CORE, words), cwd=ROOT, check=True, timeout=seconds + 300)
    return dict(json.loads(out.read_text()))


def _load_result(summary: dict[str, Any]) -> LoadResult:
    good = summary["statuses"].get("200", 0)
    everything = sum(summary["statuses"].values())
    return LoadResult(
        per_second=good / summary["seconds"],
        answered=everything,
        faults=everything - good + summary["unanswered"],
        p50_ms=summary["p50_ms"],
        p99_ms=summary["p99_ms"],
        cpu_us=0.0,
    )


def _wrk(server: Server, dataset: Dataset, seconds: int, *, again: bool, connections: int) -> LoadResult:
    script, callbacks = Path(__file__).with_name("replay.lua"), dataset.folder / "callbacks.tsv"
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "--latency", "-s", str(script)]
    words += [server.url, "--", str(callbacks), *(["again"] if again else [])]
    done = subprocess.run(pinned(LOAD_CORE, words), capture_output=True, text=True, check=True, timeout=seconds + 60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    count, micros, faults, p50, p99 = (int(word) for word in line.split()[1:])
    return LoadResult(
        per_second=count / (micros / 1e6),
        answered=count,
        faults=faults,
        p50_ms=p50 / 1000,
        p99_ms=p99 / 1000,
        cpu_us=0.0,
    )
