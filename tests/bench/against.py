"""This checkout and another commit, measured in turns in one run: callbacks, deliveries, latency, start, memory.

Each is measured by its own `python -m tests.bench`, with this interpreter and its packages. The commit is checked out
into a temporary git worktree. Bare Starlette, which is the same code on both sides, shows how much the machine varies.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.process.children import ROOT

ROUNDS = 3
ALLOWED = 0.05
"""The share of a figure that may be lost."""

OPTIONS = ("--only", "callbacks,deliveries,starting", "--finished-jobs", "1000")
# Postgres is not measured, and an old commit may need packages for it that are no longer installed.
RUN_WITHOUT_POSTGRES = (
    "import runpy, sys, types; "
    "sys.modules['tests.bench.scaled'] = types.ModuleType('tests.bench.scaled'); "
    "runpy.run_module('tests.bench', run_name='__main__', alter_sys=True)"
)


class Figure(NamedTuple):
    """A figure of build/bench.json. `path` leads to it; `judged` is false for what only shows the noise."""

    name: str
    path: tuple[str, ...]
    higher_is_better: bool = False
    judged: bool = True

    def of(self, measured: Any) -> float:
        for key in self.path:
            measured = measured[key]
        return float(measured)


FIGURES = (
    Figure("callbacks a second", ("callbacks", "per_second", "receiver"), higher_is_better=True),
    Figure("deliveries a second", ("deliveries", "per_second"), higher_is_better=True),
    Figure("callback p50 at half load, ms", ("callbacks", "half_load", "p50_ms")),
    Figure("callback p99 at half load, ms", ("callbacks", "half_load", "p99_ms")),
    Figure("first 200 after exec, s", ("starting", "first_200_seconds_empty")),
    Figure("idle memory, MB", ("starting", "memory_mb_empty")),
    Figure("bare Starlette a second", ("callbacks", "per_second", "bare"), higher_is_better=True, judged=False),
)


class Comparison(NamedTuple):
    """The values of one figure in each round, there and here."""

    figure: Figure
    there: Sequence[float]
    here: Sequence[float]

    @property
    def ratio(self) -> float:
        """Here to there, by medians: above 1 is more, whether that is better or worse."""
        return median(self.here) / median(self.there)

    @property
    def lost(self) -> bool:
        """Whether more than `ALLOWED` of it is lost."""
        worse = 1 - self.ratio if self.figure.higher_is_better else self.ratio - 1
        return self.figure.judged and worse > ALLOWED


def compare(there: Sequence[Any], here: Sequence[Any]) -> list[Comparison]:
    """Compare the bench.json of each round."""
    return [
        Comparison(figure, [figure.of(each) for each in there], [figure.of(each) for each in here])
        for figure in FIGURES
    ]


def table(commit: str, comparisons: Sequence[Comparison]) -> str:
    """Return a Markdown table of medians, with the lowest and highest value of the rounds."""
    rows = [f"| figure | {commit} | here | ratio | |", "|---|---|---|---|---|"]
    for each in comparisons:
        verdict = "LOST" if each.lost else "kept" if each.figure.judged else "noise"
        rows.append(
            f"| {each.figure.name} | {_spread(each.there)} | {_spread(each.here)} | {each.ratio:.3f} | {verdict} |"
        )
    return "\n".join(rows)


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):g} ({min(values):g} to {max(values):g})"


def measure(commit: str, say: Any) -> int:
    """Measure both in turns, print the table, and return 1 when a figure has lost more than `ALLOWED`."""
    there: list[Any] = []
    here: list[Any] = []
    with _checked_out(commit) as other:
        for number in range(ROUNDS):
            for checkout, found in ((other, there), (ROOT, here)):
                say(f"round {number + 1} of {ROUNDS}: {commit if checkout == other else 'this checkout'}")
                found.append(_bench(checkout))
    comparisons = compare(there, here)
    (ROOT / "build" / "against.json").write_text(json.dumps({"commit": commit, "there": there, "here": here}, indent=2))
    say(table(commit, comparisons))
    return int(any(each.lost for each in comparisons))


@contextlib.contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="renderhook-against-") as folder:
        checkout = Path(folder) / "checkout"
        _git("worktree", "add", "--quiet", "--detach", str(checkout), commit)
        try:
            yield checkout
        finally:
            _git("worktree", "remove", "--force", str(checkout))


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True)


def _bench(checkout: Path) -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", RUN_WITHOUT_POSTGRES, *OPTIONS]
    subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, check=True)
    return json.loads((checkout / "build" / "bench.json").read_text())
