"""What an operator sees of a copy: a line for each table, a table of both sides, and what comes next."""

import click

from ledger.clock import wall_clock
from ledger.copying import copy as passes
from ledger.copying.copy import Copied, Sum

_NEXT = {
    True: "moved: start the receiver with DATABASE_URL set to the target. docs/moving.md tells the way back",
    False: "copied as it was when this began: stop the receiver, and copy once more without --while-running",
}
_DIGITS = 16
"""How many of a checksum's are shown."""


async def copy(source: str, target: str, *, while_running: bool) -> str | None:
    """Make one pass, and show what came of it. Returns what differs, or None. Raises LedgerError."""
    copied = await passes.copy(source, target, now=wall_clock(), while_running=while_running, tell=_say)
    for line in lines(copied):
        click.echo(line)
    return copied.fault


async def take_back(source: str, target: str) -> None:
    """Undo the handing over. Raises LedgerError."""
    await passes.take_back(source, target, now=wall_clock(), tell=_say)
    click.echo("undone: the source is the ledger again, and the target is shut. Set DATABASE_URL to the source")


def lines(copied: Copied) -> list[str]:
    """Write the sums of both sides, a line for each table, and what comes next when nothing differs."""
    if not copied.sums:
        return ["moved before: nothing was done. The receiver's DATABASE_URL is the target"]
    head = ("table", "source", "target", "brought", "checksum of source", "and of target")
    written = [_line(*head), *(_line(*_cells(each)) for each in copied.sums)]
    return written if copied.fault else [*written, _NEXT[copied.moved]]


def _cells(each: Sum) -> tuple[str, ...]:
    numbers = (each.source.number, each.target.number, each.brought)
    return (each.table, *map(str, numbers), each.source.checksum[:_DIGITS], each.target.checksum[:_DIGITS])


def _line(table: str, *cells: str) -> str:
    *numbers, ours, theirs = cells
    return f"{table:<13}{''.join(f'{number:>11}' for number in numbers)}  {ours:<18}  {theirs}"


def _say(line: str) -> None:
    click.echo(line, err=True)
