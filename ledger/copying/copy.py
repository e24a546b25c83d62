"""One pass of a copy: write what differs and compare everything. The last pass then switches to the target."""

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


class TableResult(msgspec.Struct, frozen=True, kw_only=True):
    """A table in one snapshot of each side, and how many rows the pass wrote."""

    table: str
    source: Summary
    target: Summary
    written: int


class CopyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a pass: `fault` names a difference, `moved` says that the target is now the database in use.

    `tables` is empty if an earlier pass had moved it: then nothing is compared.
    """

    tables: Sequence[TableResult]
    fault: str | None
    moved: bool


class _Span(msgspec.Struct, kw_only=True):
    """A range of keys of a table, and the summaries of both sides."""

    table: Table
    low: Values | None
    high: Values | None
    source: Summary
    target: Summary
    written: int = 0


async def copy(source_url: str, target_url: str, *, now: int, while_running: bool, report: Report) -> CopyResult:
    """Make the target equal to the source, and compare them. The last pass then switches to the target.

    The last pass, which is any without `while_running`, locks the source. `now` is ms; `report` is called with lines
    about the progress. Raises LedgerError, before any change or when the copy was interrupted.
    """
    target_module = _import_target(source_url, target_url)
    with open_source(Path(source_url.removeprefix(SQLITE)), locked=not while_running) as source:
        async with target_module.open_target(target_url, source, now=now) as target:
            if source.moved and target.is_open:
                return CopyResult(tables=(), fault=None, moved=True)
            if source.locked and not source.moved and not target.is_open:
                source.end_claims(now)
            spans = await _compare(source, target, report, write=not target.is_open)
            fault = await _difference(source, target, spans)
            source.end()
            moved = not fault and source.locked
            if moved:
                await _switch(source, target, now)
            return CopyResult(tables=list(_results(source.tables, spans)), fault=fault, moved=moved)


async def undo(source_url: str, target_url: str, *, now: int, report: Report) -> None:
    """Switch back to the source, if nothing has changed at the target. The target is an unfinished copy then.

    Raises LedgerError, having changed nothing.
    """
    target_module = _import_target(source_url, target_url)
    with open_source(Path(source_url.removeprefix(SQLITE)), locked=True) as source:
        if source.moved is None:
            raise CannotOpen(f"{source.path} was not moved: there is nothing to undo")
        async with target_module.open_target(target_url, source, now=now) as target:
            if target.is_open:
                fault = await _difference(source, target, await _compare(source, target, report, write=False))
                if fault:
                    raise CannotOpen(f"{fault}, and going back would lose that")
                await target.close_to_receivers(now)
            source.end()
            source.open_to_receivers()


def _import_target(source_url: str, target_url: str) -> ModuleType:
    """Import the target's module. Raises `CannotOpen` for any direction but from SQLite to Postgres."""
    if not source_url.startswith(SQLITE) or not target_url.startswith(POSTGRES):
        raise CannotOpen("a ledger is copied from sqlite:///path to postgres://user@host/name, and no other way")
    try:
        from ledger.copying import target  # noqa: PLC0415 - an extra that SQLite does not need
    except ImportError as error:
        raise CannotOpen(NEEDS_PSYCOPG.format(error=error)) from error
    return target


async def _compare(source: Source, target: "Target", report: Report, *, write: bool) -> Sequence[_Span]:
    """Compare every table, in one snapshot of each side. With `write`, write what differs and compare again."""
    source.begin()
    await target.begin()
    spans = list[_Span]()
    for table in source.tables:
        first = len(spans)
        async with contextlib.aclosing(_read_ahead(source.chunks(table))) as chunks:
            async for chunk in chunks:
                found = await target.summary(table, chunk.low, chunk.high)
                span = _Span(table=table, low=chunk.low, high=chunk.high, source=chunk.summary, target=found)
                if write and span.source != span.target:
                    span.written = await target.write(chunk, empty=not found.rows)
                spans.append(span)
        read, written = sum(each.source.rows for each in spans[first:]), sum(each.written for each in spans[first:])
        report(f"{table.name}: {read} rows read, {written} written")
    if write and any(span.source != span.target for span in spans):
        report("comparing")
        await target.begin()
        for span in spans:
            span.target = await target.summary(span.table, span.low, span.high)
    return spans


async def _read_ahead(chunks: Iterator[Chunk]) -> AsyncGenerator[Chunk, None]:
    """Read each chunk while the one before it is compared and written."""
    reading = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await reading) is not None:
            reading = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            yield chunk
    finally:
        await asyncio.gather(reading, return_exceptions=True)  # or its connection would be closed while it reads


async def _difference(source: Source, target: "Target", spans: Iterable[_Span]) -> str | None:
    """Describe the first difference in one line that names the table and the key. None if there is none."""
    for span in spans:
        if span.source != span.target:
            of_source = await asyncio.to_thread(source.between, span.table, span.low, span.high)
            where = first_difference(of_source, await target.between(span.table, span.low, span.high))
            next_step = "it has been used since; nothing was changed" if target.is_open else _AGAIN
            return f"the two ledgers differ: in {span.table.name}, {where}; {next_step}"
    return None


def _results(tables: Iterable[Table], spans: Sequence[_Span]) -> Iterator[TableResult]:
    for table in tables:
        of_table = [span for span in spans if span.table is table]
        yield TableResult(
            table=table.name,
            source=_total([span.source for span in of_table]),
            target=_total([span.target for span in of_table]),
            written=sum(span.written for span in of_table),
        )


def _total(summaries: Sequence[Summary]) -> Summary:
    checksums = "".join(each.checksum for each in summaries)
    return Summary(sum(each.rows for each in summaries), hashlib.sha256(checksums.encode()).hexdigest())


async def _switch(source: Source, target: "Target", now: int) -> None:
    """Close the source, then open the target: if this is interrupted, receivers can open at most one of them."""
    if source.moved is None:
        sentence = (
            f"{source.path} was moved to {target.place}: set DATABASE_URL to that. If nothing has happened there yet, "
            "`python -m receiver copy --undo` with the same --from and --to makes this the ledger again"
        )
        source.close_to_receivers(Moved(target.moved.copy, sentence, "closed"), now)
    if not target.is_open:
        await target.open_to_receivers(source.tables, now)


def first_difference(source: Mapping[Values, bytes], target: Mapping[Values, bytes]) -> str:
    """Describe the first key whose rows differ. Each side maps keys to checksums of rows."""
    for key in sorted(source.keys() | target.keys(), key=repr):
        name = " ".join(map(str, key))
        if key not in target:
            return f"{name} is missing at the target"
        if key not in source:
            return f"{name} is only at the target"
        if source[key] != target[key]:
            return f"{name} differs"
    return "no key differs now"
