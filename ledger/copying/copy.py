"""One pass of a copy: what differs is written, all of it is compared, and the last pass hands the ledger over."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from ledger.copying.source import Chunk, Source, Summary, Table, Values, open_source
from ledger.errors import CannotOpen
from ledger.storage.migrations import Moved
from ledger.urls import NEEDS_PSYCOPG, POSTGRES, SQLITE

if TYPE_CHECKING:
    from ledger.copying.target import Target

_AGAIN = "if another pass does not repair it, copy to an empty database"

Report = Callable[[str], None]
"""Takes a line about the progress."""


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """A table on both sides, as it was in one snapshot of each."""

    table: str
    source: Summary
    target: Summary
    written: int


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a pass: `fault` is None when both sides are the same, `moved` when the target is now the ledger.

    Without sums, it was so before, and nothing was compared.
    """

    sums: Sequence[Sum]
    fault: str | None
    moved: bool


class _Span(msgspec.Struct, kw_only=True):
    """A chunk without its rows: its bounds, what the source has there, and what the target."""

    table: Table
    low: Values | None
    high: Values | None
    source: Summary
    target: Summary
    written: int = 0


async def copy(source_url: str, target_url: str, *, now: int, while_running: bool, report: Report) -> Copied:
    """Make the target equal to the source, and compare them. The last pass also hands the ledger over.

    The last pass has the source's lock, and is made unless `while_running`. `now` is ms, `report` is given lines
    about the progress. Raises LedgerError before anything is changed, or when the copy stopped on its way.
    """
    targets = _targets(source_url, target_url)
    with open_source(Path(source_url.removeprefix(SQLITE)), locked=not while_running) as source:
        opening = targets.open_target(
            target_url, identity=source.identity, tables=source.tables, known=source.moved, now=now
        )
        async with opening as target:
            if source.moved and target.is_open:
                return Copied(sums=(), fault=None, moved=True)
            if source.locked and not source.moved and not target.is_open:
                source.end_claims(now)
            spans = await _survey(source, target, report, write=not target.is_open)
            fault = await _fault(source, target, spans)
            source.end()
            moved = not fault and source.locked
            if moved:
                await _hand_over(source, target, now)
            return Copied(sums=list(_sums(source.tables, spans)), fault=fault, moved=moved)


async def take_back(source_url: str, target_url: str, *, now: int, report: Report) -> None:
    """Make the source the ledger again, and the target a copy that is not finished, if nothing has happened there.

    Raises LedgerError, having changed nothing.
    """
    targets = _targets(source_url, target_url)
    with open_source(Path(source_url.removeprefix(SQLITE)), locked=True) as source:
        if source.moved is None:
            raise CannotOpen(f"{source.path} was not moved: there is nothing to undo")
        opening = targets.open_target(
            target_url, identity=source.identity, tables=source.tables, known=source.moved, now=now
        )
        async with opening as target:
            if target.is_open:
                fault = await _fault(source, target, await _survey(source, target, report, write=False))
                if fault:
                    raise CannotOpen(f"{fault}, and going back would lose that")
                await target.shut(now)
            source.end()
            source.reopen()


def _targets(source_url: str, target_url: str) -> ModuleType:
    """Import what knows the target. Raises `CannotOpen` for any way but from SQLite to Postgres."""
    if not source_url.startswith(SQLITE) or not target_url.startswith(POSTGRES):
        raise CannotOpen("a ledger is copied from sqlite:///path to postgres://user@host/name, and no other way")
    try:
        from ledger.copying import target  # noqa: PLC0415 - an extra, which SQLite does without
    except ImportError as error:
        raise CannotOpen(NEEDS_PSYCOPG.format(error=error)) from error
    return target


async def _survey(source: Source, target: "Target", report: Report, *, write: bool) -> Sequence[_Span]:
    """Compare everything, in one snapshot of each side; with `write`, write what differs and compare again."""
    source.begin()
    await target.begin()
    spans = list[_Span]()
    for table in source.tables:
        first = len(spans)
        async with contextlib.aclosing(_ahead(source.chunks(table))) as chunks:
            async for chunk in chunks:
                seen = await target.summary(table, chunk.low, chunk.high)
                span = _Span(table=table, low=chunk.low, high=chunk.high, source=chunk.summary, target=seen)
                if write and span.source != span.target:
                    span.written = await target.write(chunk, empty=not seen.number)
                spans.append(span)
        read, written = sum(each.source.number for each in spans[first:]), sum(each.written for each in spans[first:])
        report(f"{table.name}: {read} rows read, {written} written")
    if write and any(span.source != span.target for span in spans):
        report("comparing")
        await target.begin()
        for span in spans:
            span.target = await target.summary(span.table, span.low, span.high)
    return spans


async def _ahead(chunks: Iterator[Chunk]) -> AsyncGenerator[Chunk, None]:
    """Read each chunk while the one before it is compared and written."""
    reading = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await reading) is not None:
            reading = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            yield chunk
    finally:
        await asyncio.gather(reading, return_exceptions=True)  # its connection is not closed under it


async def _fault(source: Source, target: "Target", spans: Iterable[_Span]) -> str | None:
    """Say what differs, in one line that names the table and the first key, or None."""
    for span in spans:
        if span.source != span.target:
            ours = await asyncio.to_thread(source.between, span.table, span.low, span.high)
            where = first_difference(ours, await target.between(span.table, span.low, span.high))
            next_step = "it has been used since; nothing was changed" if target.is_open else _AGAIN
            return f"the two ledgers differ: in {span.table.name}, {where}; {next_step}"
    return None


def _sums(tables: Iterable[Table], spans: Sequence[_Span]) -> Iterator[Sum]:
    for table in tables:
        of_table = [span for span in spans if span.table is table]
        yield Sum(
            table=table.name,
            source=_together([span.source for span in of_table]),
            target=_together([span.target for span in of_table]),
            written=sum(span.written for span in of_table),
        )


def _together(seen: Sequence[Summary]) -> Summary:
    checksums = "".join(each.checksum for each in seen)
    return Summary(sum(each.number for each in seen), hashlib.sha256(checksums.encode()).hexdigest())


async def _hand_over(source: Source, target: "Target", now: int) -> None:
    """Close the source, then open the target: whenever this is cut short, receivers open one of them at most."""
    if source.moved is None:
        sentence = (
            f"{source.path} was moved to {target.place}: set DATABASE_URL to that. If nothing has happened there yet, "
            "`python -m receiver copy --undo` with the same --from and --to makes this the ledger again"
        )
        source.close_for_good(Moved(target.moved.copy, sentence, "closed"), now)
    if not target.is_open:
        await target.finish(source.tables, now)


def first_difference(ours: Mapping[Values, bytes], theirs: Mapping[Values, bytes]) -> str:
    """Name the first key of which two sides have not the same: rows' checksums by their keys, ours first."""
    for key in sorted(ours.keys() | theirs.keys(), key=repr):
        name = " ".join(map(str, key))
        if key not in theirs:
            return f"{name} is missing at the target"
        if key not in ours:
            return f"{name} is only at the target"
        if ours[key] != theirs[key]:
            return f"{name} differs"
    return "no key differs now"
