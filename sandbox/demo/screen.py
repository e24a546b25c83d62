"""What the demo shows: live progress on a terminal, plain lines elsewhere, and tables of what was recorded."""

import time
from collections.abc import Mapping, Sequence
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sandbox.demo.plan import Followed, Recorded

PLAIN_WIDTH = 140
"""Columns of a table that goes to a file or a pipe, which have no width of their own."""


class Screen:
    """Progress of errands."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=PLAIN_WIDTH)
        self._live = Live(console=self.console, refresh_per_second=10) if self.console.is_terminal else None
        self._since = time.monotonic()
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, errands: Sequence[Followed]) -> None:
        """Show how far each errand is; without a terminal, only what has changed."""
        if self._live:
            rows = [(each.errand.name, each.errand.provider, *_progress(each)) for each in errands]
            self._live.update(_table("", ["job", "provider", "state", "source", "verified notifications"], rows))
            return
        for each in errands:
            line = "  ".join(filter(None, _progress(each)))
            if self._said.get(each.errand.name) != line:
                self._said[each.errand.name] = line
                self.console.print(f"{time.monotonic() - self._since:5.1f} s  {each.errand.name:<30}  {line}")

    def report(self, errands: Sequence[Followed], ledger: Mapping[str, Recorded]) -> None:
        """Print what the database holds."""
        known = [(each.errand, ledger[each.job["id"]]) for each in errands if each.job["id"] in ledger]
        jobs = [(errand.name, errand.provider, errand.model, it.state, it.source) for errand, it in known]
        outputs = [(errand.name, *output[1:], output[0]) for errand, it in known for output in it.outputs]
        receipts = [(errand.name, *key, count) for errand, it in known for key, count in it.receipts.items()]
        deliveries = [(errand.name, *delivery) for errand, it in known for delivery in it.deliveries]
        for table in (
            _table("jobs", ["job", "provider", "model", "state", "source"], jobs),
            _table("outputs", ["job", "content type", "bytes", "url"], outputs),
            _table("receipts", ["job", "source", "result", "count"], receipts),
            _table("deliveries", ["job", "event", "state", "attempts"], deliveries),
        ):
            self.console.print(table)


def _progress(followed: Followed) -> tuple[str, str, str]:
    notified = " ".join(sorted(followed.notified, key=lambda event: event != "job.submitted"))
    return followed.job["state"], followed.job.get("source") or "", notified


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> Table:
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    return table
