"""The writer: commits what waits together, isolates what fails, and forgets nothing when a caller goes away."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from ledger import jobs
from ledger.errors import CannotOpen, Contradiction, Corrupt, DiskFull, Locked, Overloaded, Unavailable
from ledger.jobs import NewJob
from ledger.sqlite import SQLiteStore, open_sqlite
from ledger.verbs import Step, Verb
from tests.conftest import NOON

NEW = NewJob(provider="fal", model="a/b", input="{}")
LIE = Verb(
    steps=(Step("insert_job"),),
    values=dict.fromkeys(("job_id", "provider", "model", "move", "now", "request_digest"), "?")
    | {"idempotency_key": None},
    read=lambda _: None,
)


async def test_one_failing_verb_does_not_fail_those_committed_with_it(store: SQLiteStore) -> None:
    good, bad, also_good = await asyncio.gather(
        store.write(jobs.accept(NEW, now=NOON)),
        store.write(LIE),
        store.write(jobs.accept(NEW, now=NOON)),
        return_exceptions=True,
    )
    assert isinstance(bad, Contradiction)
    for accepted in (good, also_good):
        assert isinstance(accepted, jobs.Accepted)
        assert await jobs.read_job(store, accepted.job_id) is not None


async def test_a_verb_that_fails_half_way_leaves_nothing(store: SQLiteStore) -> None:
    verb = jobs.accept(NEW, now=NOON)
    broken = Verb(steps=(*verb.steps, LIE.steps[0]), values=verb.values, read=verb.read)
    with pytest.raises(Contradiction):
        await store.write(broken)
    assert await jobs.list_jobs(store, limit=10) == []


async def test_cancelling_the_caller_does_not_cancel_the_transaction(store: SQLiteStore) -> None:
    verb = jobs.accept(NEW, now=NOON)
    caller = asyncio.create_task(store.write(verb))
    await asyncio.sleep(0)  # it has handed the verb over and waits
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await store.write(jobs.accept(NEW, now=NOON + 1))  # committed after it
    assert await jobs.read_job(store, str(verb.values["job_id"])) is not None


async def test_more_than_may_wait_is_turned_away_at_once(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "small.db", now=NOON, waiting_limit=3)
    results = await asyncio.gather(*(store.write(jobs.accept(NEW, now=NOON)) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [jobs.Accepted] * 3 + [Overloaded] * 2
    await store.close()


async def test_closing_commits_what_waits_and_then_says_so(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "a.db", now=NOON)
    waiting = asyncio.create_task(store.write(jobs.accept(NEW, now=NOON)))
    await asyncio.sleep(0)
    await store.close()
    accepted = await waiting
    with pytest.raises(Unavailable):
        await store.write(jobs.accept(NEW, now=NOON))
    again = await open_sqlite(tmp_path / "a.db", now=NOON)
    assert await jobs.read_job(again, accepted.job_id) is not None
    await again.close()


async def test_a_full_disk_writes_nothing_and_says_so_and_room_cures_it(store: SQLiteStore) -> None:
    await store._writer.execute("PRAGMA max_page_count = 1")  # no page can be added: SQLite answers SQLITE_FULL
    results = await asyncio.gather(
        *(
            store.write(jobs.accept(NewJob(provider="fal", model="a/b", input="x" * 50_000), now=NOON))
            for _ in range(3)
        ),
        return_exceptions=True,
    )
    assert all(isinstance(result, DiskFull) for result in results)
    assert await jobs.list_jobs(store, limit=10) == []
    await store._writer.execute("PRAGMA max_page_count = 1000000")
    assert (await store.write(jobs.accept(NEW, now=NOON))).new


async def test_a_second_process_is_refused_by_name(tmp_path: Path, store: SQLiteStore) -> None:
    with pytest.raises(Locked, match=r"ledger\.db is in use by another process"):
        await open_sqlite(tmp_path / "ledger.db", now=NOON)


async def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "poem.db").write_text("so much depends upon a red wheel barrow" * 100)
    with pytest.raises(Corrupt, match="not a ledger"):
        await open_sqlite(tmp_path / "poem.db", now=NOON)


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotOpen, match="DATABASE_URL must name a writable folder"):
        await open_sqlite(tmp_path / "file" / "ledger.db", now=NOON)


async def test_every_commit_is_fsynced_before_it_is_answered(store: SQLiteStore) -> None:
    rows = {
        pragma: next(iter(await store._writer.execute_fetchall(f"PRAGMA {pragma}")))[pragma]
        for pragma in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert rows == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_the_file_is_whole_after_use(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "a.db", now=NOON)
    await store.write(jobs.accept(NEW, now=NOON))
    await store.close()
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.mark.parametrize("poison", [2**70, "\ud800", object()])
async def test_a_value_that_cannot_be_stored_fails_its_verb_alone_and_the_writer_goes_on(
    store: SQLiteStore, poison: object
) -> None:
    verb = jobs.accept(NEW, now=NOON)
    bad = Verb(steps=verb.steps, values=dict(verb.values) | {"metadata": poison}, read=verb.read)
    good, failed = await asyncio.gather(
        store.write(jobs.accept(NEW, now=NOON)), store.write(bad), return_exceptions=True
    )
    assert isinstance(failed, Contradiction)
    assert isinstance(good, jobs.Accepted)
    assert (await store.write(jobs.accept(NEW, now=NOON))).new
