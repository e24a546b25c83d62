"""`python -m tests.bench`: measure everything in one run, write build/bench.json, and print the table.

`--only callbacks,deliveries` leaves the rest out, `--check` compares ratios with the stored ones,
`--store` stores them.
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import callbacks, deliveries, growth, notifications, overload, report, scaled, soak, stages, starting
from tests.bench.ground import Ground, lay
from tests.bench.places import PINNED
from tests.process.children import ROOT

REPLAYED = 60_000
"""Callbacks in the file that wrk replays: more than can be answered in one measurement."""

OPEN = 120_000
BACKLOG = 15_000
FINISHED = 1_000_000


class Grounds:
    """The ledgers that measurements begin with, each laid when it is first asked for."""

    def __init__(self, folder: Path, finished: int) -> None:
        self._folder = folder
        self._finished = finished
        self._laid: dict[str, Ground] = {}

    def of(self, name: str, **kinds: int) -> Ground:
        if name not in self._laid:
            self._laid[name] = lay(self._folder / name, **kinds)
            self._laid[name].replay(REPLAYED)
        return self._laid[name]

    @property
    def empty(self) -> Ground:
        """Nothing is over yet."""
        return self.of("empty", open_jobs=OPEN)

    @property
    def full(self) -> Ground:
        """Most jobs are over, and everybody was told."""
        return self.of("full", open_jobs=OPEN, finished_jobs=self._finished)

    @property
    def backlog(self) -> Ground:
        """Some are over, and nobody was told."""
        return self.of("backlog", open_jobs=10, pending_deliveries=BACKLOG)


def main() -> int:
    """Run from the command line."""
    words = argparse.ArgumentParser(prog="python -m tests.bench")
    words.add_argument("--only", default="")
    words.add_argument("--check", action="store_true", help="compare callbacks and deliveries with the stored ratios")
    words.add_argument("--store", action="store_true", help="keep this run's ratios for --check to compare with")
    words.add_argument("--soak-seconds", type=float, default=600)
    words.add_argument("--finished-jobs", type=int, default=FINISHED)
    given = words.parse_args()
    wanted = ["callbacks", "deliveries"] if given.check else given.only.split(",") if given.only else []
    with tempfile.TemporaryDirectory(prefix="renderhook-bench-") as folder:
        found = measured(Path(folder), wanted, given.soak_seconds, given.finished_jobs)
    if given.check:
        return report.check(found)
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "bench.json").write_text(json.dumps(found, indent=2) + "\n")
    say(report.table(found))
    if given.store:
        report.store(found)
    return 0


def measured(folder: Path, wanted: list[str], soak_seconds: float, finished: int) -> dict[str, Any]:
    """Take the measurements that are wanted, all of them when none is named."""
    grounds = Grounds(folder / "grounds", finished)
    found: dict[str, Any] = {"machine": machine()}
    measures: dict[str, Callable[[Path], dict[str, Any]]] = {
        "callbacks": lambda place: callbacks.measure(place, grounds.empty),
        "stages": lambda place: stages.measure(place, grounds.empty),
        "deliveries": lambda place: deliveries.measure(place, grounds.backlog, BACKLOG),
        "notifications": lambda place: notifications.measure(place, grounds.empty),
        "overload": lambda place: overload.measure(place, grounds.empty, REPLAYED),
        "starting": lambda place: starting.measure(place, {"empty": grounds.empty, "full": grounds.full}),
        "growth": lambda place: growth.measure(place, grounds.empty, grounds.full, finished),
        "scaled": lambda place: scaled.measure(place, grounds.empty, _sqlite_us(found)),
        "soak": lambda place: soak.measure(place, soak_seconds, _told_rate(found)),
    }
    for name, measure in measures.items():
        if not wanted or name in wanted:
            say(f"measuring: {name}")
            found[name] = measure(folder / name)
            shutil.rmtree(folder / name, ignore_errors=True)
    return found


def _told_rate(found: dict[str, Any]) -> float:
    """Half of what one core can take and tell at once, by what each costs; a modest rate when neither was measured."""
    if "callbacks" not in found or "deliveries" not in found:
        return 500.0
    return 0.5e6 / (found["callbacks"]["cpu_us"]["receiver"] + found["deliveries"]["cpu_us"])


def _sqlite_us(found: dict[str, Any]) -> float | None:
    """Say what a callback costs on SQLite, if this run has measured it."""
    return found["callbacks"]["cpu_us"]["receiver"] if "callbacks" in found else None


def machine() -> dict[str, Any]:
    """Say what the figures were read on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "pinned": PINNED,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(terse=True),
        "load": "wrk" if shutil.which("wrk") else "tests/bench/generator.py",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this command's output


if __name__ == "__main__":
    sys.exit(main())
