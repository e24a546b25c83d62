"""The command `copy`: SQLite to Postgres."""

from collections.abc import Iterator

import click

from ledger.clock import wall_clock
from ledger.copying import copy as copying
from ledger.copying.copy import CopyResult, TableResult
from renderhook.errors import CommandError
from renderhook.event_loop import run

_MOVED = (
    "moved: start the receiver with DATABASE_URL set to the target. "
    "docs/operations/move-to-postgres.md describes how to undo this"
)
_COPIED = "copied as of the start of this pass: stop the receiver, then copy once more without --while-running"
_MOVED_BEFORE = "moved before: nothing was done. The receiver's DATABASE_URL is the target"
_UNDONE = "undone: the source is in use again, and the target is closed. Set DATABASE_URL to the source"
_ROW = "{:<13}{:>11}{:>11}{:>11}  {:<18}  {}"
_DIGITS = 16
"""How many digits of a checksum are printed."""


@click.command()
@click.option("--from", "source", metavar="URL", required=True, help="The database to copy: sqlite:///path.")
@click.option("--to", "target", metavar="URL", required=True, help="An empty database: postgres://host/name.")
@click.option("--while-running", is_flag=True, help="Copy while a receiver runs; repeat without it to finish.")
@click.option("--undo", is_flag=True, help="Go back to --from, if nothing has happened at --to.")
def copy(source: str, target: str, *, while_running: bool, undo: bool) -> None:
    """Move a database from SQLite to Postgres. Each repetition copies what is new or changed.

    The procedure is in docs/operations/move-to-postgres.md.
    """
    if undo and while_running:
        fault = "--undo needs the receivers of both databases stopped, so not --while-running"
        raise CommandError(fault)
    now = wall_clock()
    if undo:
        run(copying.undo(source, target, now=now, report=_progress))
        click.echo(_UNDONE)
        return
    copied = run(copying.copy(source, target, now=now, while_running=while_running, report=_progress))
    for line in report(copied):
        click.echo(line)
    if copied.fault:
        raise CommandError(copied.fault)


def report(copied: CopyResult) -> Iterator[str]:
    """Yield a line for each table with counts and checksums of both sides, then the next step if they are equal."""
    if not copied.tables:
        yield _MOVED_BEFORE
        return
    yield _ROW.format("table", "source", "target", "copied", "checksum of source", "and of target")
    yield from map(_table, copied.tables)
    if not copied.fault:
        yield _MOVED if copied.moved else _COPIED


def _table(each: TableResult) -> str:
    checksums = each.source.checksum[:_DIGITS], each.target.checksum[:_DIGITS]
    return _ROW.format(each.table, each.source.rows, each.target.rows, each.written, *checksums)


def _progress(line: str) -> None:
    click.echo(line, err=True)
