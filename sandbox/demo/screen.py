"""The demo's output: live progress on a terminal, plain lines elsewhere, and tables of what was recorded."""

import time
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sandbox.demo.plan import RecordedJob, TrackedJob

PLAIN_WIDTH = 140
"""Width of the tables, in columns, when the output is a file or a pipe."""


class Screen:
    """Prints the progress and results of jobs."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=PLAIN_WIDTH)
        self._live = Live(console=self.console, refresh_per_second=10) if self.console.is_terminal else None
        self._started = time.monotonic()
        self._printed: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, jobs: Sequence[TrackedJob]) -> None:
        """Show the progress of each job; without a terminal, only what has changed."""
        if self._live:
            rows = [(each.plan.name, each.plan.provider, *_progress(each)) for each in jobs]
            self._live.update(_table("", ["job", "provider", "state", "source", "verified notifications"], rows))
            return
        for each in jobs:
            line = "  ".join(filter(None, _progress(each)))
            if self._printed.get(each.plan.name) != line:
                self._printed[each.plan.name] = line
                self.console.print(f"{time.monotonic() - self._started:5.1f} s  {each.plan.name:<30}  {line}")

    def report(self, jobs: Sequence[TrackedJob], database: Mapping[str, RecordedJob]) -> None:
        """Print what the database has of each job."""
        known = [(each.plan, database[each.job["id"]]) for each in jobs if each.job["id"] in database]
        ended = [(plan.name, plan.provider, plan.model, it.state, it.source) for plan, it in known]
        outputs = [(plan.name, *output[1:], output[0]) for plan, it in known for output in it.outputs]
        receipts = [(plan.name, *key, count) for plan, it in known for key, count in it.receipts.items()]
        deliveries = [(plan.name, *delivery) for plan, it in known for delivery in it.deliveries]
        for table in (
            _table("jobs", ["job", "provider", "model", "state", "source"], ended),
            _table("outputs", ["job", "content type", "bytes", "url"], outputs),
            _table("receipts", ["job", "source", "result", "count"], receipts),
            _table("deliveries", ["job", "event", "state", "attempts"], deliveries),
        ):
            self.console.print(table)


def _progress(tracked: TrackedJob) -> tuple[str, str, str]:
    notified = " ".join(sorted(tracked.notified, key=lambda event: event != "job.submitted"))
    return tracked.job["state"], tracked.job.get("source") or "", notified


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Table:
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    return table
