"""`python -m tests.bench`: take every measurement, write build/bench.json, and print the table.

`--only callbacks,deliveries` takes only those, `--check` compares their ratios with stored ones, `--store` stores them,
`--against COMMIT` compares this checkout with another commit, measured in the same run.
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

from tests.bench import (
    against,
    callbacks,
    deliveries,
    growth,
    notifications,
    overload,
    report,
    scaled,
    soak,
    stages,
    starting,
)
from tests.bench.dataset import Dataset, make_dataset
from tests.bench.processes import PINNED
from tests.process.children import ROOT

REPLAYED = 60_000
"""Callbacks in the file that wrk replays: more than can be answered in one measurement."""

OPEN = 120_000
BACKLOG = 15_000
FINISHED = 1_000_000


class Datasets:
    """The databases that measurements begin with, each created when it is first needed."""

    def __init__(self, folder: Path, finished: int) -> None:
        self._folder = folder
        self._finished = finished
        self._made: dict[str, Dataset] = {}

    def of(self, name: str, **kinds: int) -> Dataset:
        if name not in self._made:
            self._made[name] = make_dataset(self._folder / name, **kinds)
            self._made[name].replay(REPLAYED)
        return self._made[name]

    @property
    def empty(self) -> Dataset:
        """Open jobs only."""
        return self.of("empty", open_jobs=OPEN)

    @property
    def full(self) -> Dataset:
        """Most jobs are finished, and their events delivered."""
        return self.of("full", open_jobs=OPEN, finished_jobs=self._finished)

    @property
    def backlog(self) -> Dataset:
        """Finished jobs with pending deliveries."""
        return self.of("backlog", open_jobs=10, pending_deliveries=BACKLOG)


def main() -> int:
    """Run from the command line."""
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("--only", default="")
    options.add_argument("--check", action="store_true", help="compare callbacks and deliveries with the stored ratios")
    options.add_argument("--store", action="store_true", help="keep this run's ratios for --check to compare with")
    options.add_argument("--against", metavar="COMMIT", help="compare with another commit, in the same run")
    options.add_argument("--soak-seconds", type=float, default=600)
    options.add_argument("--finished-jobs", type=int, default=FINISHED)
    given = options.parse_args()
    if given.against:
        return against.measure(given.against, say)
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
    """Take the measurements that are named, or all if none is."""
    datasets = Datasets(folder / "datasets", finished)
    found: dict[str, Any] = {"machine": machine()}
    measures: dict[str, Callable[[Path], dict[str, Any]]] = {
        "callbacks": lambda place: callbacks.measure(place, datasets.empty),
        "stages": lambda place: stages.measure(place, datasets.empty),
        "deliveries": lambda place: deliveries.measure(place, datasets.backlog, BACKLOG),
        "notifications": lambda place: notifications.measure(place, datasets.empty),
        "overload": lambda place: overload.measure(place, datasets.empty, REPLAYED),
        "starting": lambda place: starting.measure(place, {"empty": datasets.empty, "full": datasets.full}),
        "growth": lambda place: growth.measure(place, datasets.empty, datasets.full, finished),
        "scaled": lambda place: scaled.measure(place, datasets.empty, _sqlite_us(found)),
        "soak": lambda place: soak.measure(place, soak_seconds, _soak_rate(found)),
    }
    for name, measure in measures.items():
        if not wanted or name in wanted:
            say(f"measuring: {name}")
            found[name] = measure(folder / name)
            shutil.rmtree(folder / name, ignore_errors=True)
    return found


def _soak_rate(found: dict[str, Any]) -> float:
    """Return half the callbacks a second that one core can receive and deliver; a low rate if that was not measured."""
    if "callbacks" not in found or "deliveries" not in found:
        return 500.0
    return 0.5e6 / float(found["callbacks"]["cpu_us"]["receiver"] + found["deliveries"]["cpu_us"])


def _sqlite_us(found: dict[str, Any]) -> float | None:
    """Return the CPU of a callback on SQLite, if this run has measured it."""
    return found["callbacks"]["cpu_us"]["receiver"] if "callbacks" in found else None


def machine() -> dict[str, Any]:
    """Describe the machine of the figures."""
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
