"""Load on a server, from the other core: wrk where it is installed, otherwise our own generator."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.ground import Ground
from tests.bench.places import LOAD_CORE, Server, pinned
from tests.process.children import ROOT

CONNECTIONS = 64


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load. `faults` are answers other than 200, and requests without one."""

    per_second: float
    answered: int
    faults: int
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Of the server, for each answer: both kinds of time, microseconds."""


def burst(
    server: Server, ground: Ground, seconds: int, *, again: bool = False, connections: int = CONNECTIONS
) -> Answered:
    """Send as fast as answers come. `again` begins anew when every callback was sent."""
    before = server.cpu_seconds
    if shutil.which("wrk"):
        answered = _wrk(server, ground, seconds, again=again, connections=connections)
    else:
        answered = _answered(generate(server, ground, seconds=seconds, connections=connections))
    return msgspec.structs.replace(answered, cpu_us=1e6 * (server.cpu_seconds - before) / max(1, answered.answered))


def steady(server: Server, ground: Ground, seconds: float, rate: float, **options: Any) -> Answered:
    """Send at a rate, whatever comes back."""
    before = server.cpu_seconds
    answered = _answered(generate(server, ground, seconds=seconds, rate=rate, **options))
    return msgspec.structs.replace(answered, cpu_us=1e6 * (server.cpu_seconds - before) / max(1, answered.answered))


def generate(
    server: Server,
    ground: Ground,
    *,
    seconds: float,
    rate: float | None = None,
    connections: int = CONNECTIONS,
    skip: int = 0,
    ready: int = 20_000,
) -> dict[str, Any]:
    """Run our own generator, and return all that it says."""
    out = server.child.log.parent / "generated.json"
    words = [sys.executable, "-m", "tests.bench.generator", str(ground.folder), server.url]
    words += ["--seconds", str(seconds), "--connections", str(connections), "--skip", str(skip)]
    words += ["--ready", str(ready), "--out", str(out)]
    words += ["--rate", str(rate)] if rate else []
    subprocess.run(pinned(LOAD_CORE, words), cwd=ROOT, check=True, timeout=seconds + 300)
    return dict(json.loads(out.read_text()))


def _answered(told: dict[str, Any]) -> Answered:
    good = told["statuses"].get("200", 0)
    everything = sum(told["statuses"].values())
    return Answered(
        per_second=good / told["seconds"],
        answered=everything,
        faults=everything - good + told["unanswered"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_us=0.0,
    )


def _wrk(server: Server, ground: Ground, seconds: int, *, again: bool, connections: int) -> Answered:
    script, callbacks = Path(__file__).with_name("replay.lua"), ground.folder / "callbacks.tsv"
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "--latency", "-s", str(script)]
    words += [server.url, "--", str(callbacks), *(["again"] if again else [])]
    said = subprocess.run(pinned(LOAD_CORE, words), capture_output=True, text=True, check=True, timeout=seconds + 60)
    line = next(line for line in said.stdout.splitlines() if line.startswith("RESULT"))
    count, micros, faults, p50, p99 = (int(word) for word in line.split()[1:])
    return Answered(
        per_second=count / (micros / 1e6),
        answered=count,
        faults=faults,
        p50_ms=p50 / 1000,
        p99_ms=p99 / 1000,
        cpu_us=0.0,
    )
