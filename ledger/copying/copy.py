"""One pass of a copy: what differs is brought over, all of it is compared, and the last pass hands the ledger over."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from ledger.copying import source as sources
from ledger.copying.source import Source
from ledger.copying.tables import TABLES, Chunk, Seen, Table, Values, first_difference
from ledger.errors import CannotOpen
from ledger.storage.migrations import Note
from ledger.urls import POSTGRES, SQLITE

if TYPE_CHECKING:
    from ledger.copying.target import Target

_AFRESH = "if another pass does not mend it, copy to an empty database"

Tell = Callable[[str], None]


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """A table on both sides, as it was in one snapshot of each."""

    table: str
    source: Seen
    target: Seen
    brought: int


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a pass: `fault` is None when both sides are the same, `moved` when the target is now the ledger.

    Without sums, it was so before, and nothing was looked at.
    """

    sums: Sequence[Sum]
    fault: str | None
    moved: bool


class _Span(msgspec.Struct, kw_only=True):
    """A chunk without its rows: its bounds, what the source has there, and what the target."""

    table: Table
    low: Values | None
    high: Values | None
    source: Seen
    target: Seen
    brought: int = 0


async def copy(source_url: str, target_url: str, *, now: int, while_running: bool, tell: Tell) -> Copied:
    """Make the target equal to the source, and compare them. The last pass also hands the ledger over.

    The last pass has the source's lock, and is made unless `while_running`. `now` is ms, `tell` is given lines about
    the progress. Raises LedgerError before anything is changed, or when the copy stopped on its way.
    """
    targets = _targets(source_url, target_url)
    with sources.opened(Path(source_url.removeprefix(SQLITE)), locked=not while_running) as source:
        opening = targets.opened(target_url, identity=source.identity, known=source.note, now=now)
        async with opening as target:
            if source.note and target.note.open:
                return Copied(sums=(), fault=None, moved=True)
            if source.locked and not source.note and not target.note.open:
                source.end_claims(now)
            spans = await _survey(source, target, tell, bring=not target.note.open)
            fault = await _fault(source, target, spans)
            source.end()
            moved = not fault and source.locked
            if moved:
                await _hand_over(source, target, now)
            return Copied(sums=list(_sums(spans)), fault=fault, moved=moved)


async def take_back(source_url: str, target_url: str, *, now: int, tell: Tell) -> None:
    """Make the source the ledger again, and the target a copy that is not finished, if nothing has happened there.

    Raises LedgerError, having changed nothing.
    """
    targets = _targets(source_url, target_url)
    with sources.opened(Path(source_url.removeprefix(SQLITE)), locked=True) as source:
        if source.note is None:
            raise CannotOpen(f"{source.path} was not moved: there is nothing to undo")
        opening = targets.opened(target_url, identity=source.identity, known=source.note, now=now)
        async with opening as target:
            if target.note.open:
                fault = await _fault(source, target, await _survey(source, target, tell, bring=False))
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
        from ledger.copying import target as copying  # noqa: PLC0415 - an extra, which SQLite does without
    except ImportError as error:
        raise CannotOpen(f"Postgres needs more packages ({error}): pip install 'renderhook[postgres]'") from error
    return copying


async def _survey(source: Source, target: "Target", tell: Tell, *, bring: bool) -> Sequence[_Span]:
    """Compare everything, in one snapshot of each side; with `bring`, write what differs and compare again."""
    source.begin()
    await target.begin()
    spans = list[_Span]()
    for table in TABLES:
        first = len(spans)
        async with contextlib.aclosing(_ahead(source.chunks(table))) as chunks:
            async for chunk in chunks:
                seen = await target.look(table, chunk.low, chunk.high)
                span = _Span(table=table, low=chunk.low, high=chunk.high, source=chunk.seen, target=seen)
                if bring and span.source != span.target:
                    span.brought = await target.bring(chunk, anew=not seen.number)
                spans.append(span)
        read, brought = sum(each.source.number for each in spans[first:]), sum(each.brought for each in spans[first:])
        tell(f"{table.name}: {read} rows read, {brought} brought over")
    if bring and any(span.source != span.target for span in spans):
        tell("comparing")
        await target.begin()
        for span in spans:
            span.target = await target.look(span.table, span.low, span.high)
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
            next_step = "it has been at work since; nothing was changed" if target.note.open else _AFRESH
            return f"the two ledgers differ: in {span.table.name}, {where}; {next_step}"
    return None


def _sums(spans: Iterable[_Span]) -> Iterator[Sum]:
    for table in TABLES:
        of_table = [span for span in spans if span.table is table]
        yield Sum(
            table=table.name,
            source=_together([span.source for span in of_table]),
            target=_together([span.target for span in of_table]),
            brought=sum(span.brought for span in of_table),
        )


def _together(seen: Sequence[Seen]) -> Seen:
    checksums = "".join(each.checksum for each in seen)
    return Seen(sum(each.number for each in seen), hashlib.sha256(checksums.encode()).hexdigest())


async def _hand_over(source: Source, target: "Target", now: int) -> None:
    """Shut the source, then open the target: whenever this is cut short, receivers open one of them at most."""
    if source.note is None:
        words = (
            f"{source.path} was moved to {target.place}: set DATABASE_URL to that. If nothing has happened there yet, "
            "`python -m receiver copy --undo` with the same --from and --to makes this the ledger again"
        )
        source.close_for_good(Note(name=target.note.name, words=words, open=False), now)
    if not target.note.open:
        await target.finish(now)
