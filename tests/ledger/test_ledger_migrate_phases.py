"""Two releases overlap in every deploy: what adds is no matter to the older one, and what takes away stops it."""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.errors import CannotOpen
from ledger.postgres.store import open_postgres
from ledger.sqlite.store import open_sqlite
from ledger.storage import migrations as migrate_module
from ledger.storage.migrations import migrations
from ledger.storage.statements import Dialect
from ledger.storage.store import Store
from ledger.transitions import deliveries, endpoints, jobs
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import Story, ms

ROOT = Path(__file__).resolve().parents[2]

LATER = (
    "ALTER TABLE jobs ADD COLUMN colour TEXT",
    "CREATE TABLE later (id TEXT PRIMARY KEY, job_id TEXT)",
    "CREATE INDEX jobs_by_colour ON jobs (colour)",
)
NOTED = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (2, 'later', '{}', 'x', 1)"


class Place:
    """An empty ledger that a newer release may have opened too."""

    def __init__(self, dialect: Dialect, opening: Callable[[], Awaitable[Store]], run: Callable[[str], Any]) -> None:
        self.dialect = dialect
        self.open = opening
        self.run = run

    async def migrated_by_a_newer_release(self, phase: str) -> None:
        await (await self.open()).close()
        for statement in (*LATER, NOTED.format(phase)):
            self.run(statement)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"

        def run(statement: str) -> list[Any]:
            connection = sqlite3.connect(path, isolation_level=None)
            rows = connection.execute(statement).fetchall()
            connection.close()
            return rows

        return Place("sqlite", lambda: open_sqlite(path, now=NOON, providers=PROVIDERS), run)
    url: str = request.getfixturevalue("database_url")

    def ask(statement: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return Place("postgres", lambda: open_postgres(url, now=NOON, connections=3, seconds=5, providers=PROVIDERS), ask)


async def test_a_release_works_on_with_what_a_newer_one_has_added(place: Place) -> None:
    await place.migrated_by_a_newer_release("expand")
    store = await place.open()
    story = Story(store)
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await story.accept()
    await story.fetch("submit", at=1)
    await story.begin(job_id)
    assert await story.confirm(job_id)
    assert await story.report(job_id) == "recorded"
    assert [job.id for job in await jobs.list_jobs(store, limit=10)] == [job_id]
    assert len(await deliveries.list_deliveries_of_subject(store, job_id)) == 2
    await store.close()


async def test_a_release_does_not_open_what_a_newer_one_has_taken_from(place: Place) -> None:
    await place.migrated_by_a_newer_release("contract")
    with pytest.raises(CannotOpen, match=r"migration 2, which this release does not know.*run a newer release"):
        await place.open()


async def test_every_migration_is_noted_with_its_phase(place: Place) -> None:
    await (await place.open()).close()
    known = [(each.number, each.phase, each.checksum) for each in migrations(place.dialect)]
    assert [tuple(row) for row in place.run("SELECT number, phase, checksum FROM migrations ORDER BY number")] == known


DD432CE = {
    "sqlite": "ba7e54bc28ed650cd4df9033355556e4d0dadd1714487fe5bc14a233d6da3bff",
    "postgres": "36a8ae2fe38de1dbe2feef63343aeb5765ffe11b342cb388a21912d1eba0f6e2",
}
"""The checksums that a database has for the schema of commit dd432ce."""


async def test_a_database_from_before_the_first_release_is_refused_with_what_to_do(place: Place) -> None:
    await (await place.open()).close()
    place.run(f"UPDATE migrations SET checksum = '{DD432CE[place.dialect]}' WHERE number = 1")
    with pytest.raises(CannotOpen) as refused:
        await place.open()
    assert "made by a version before the first release" in str(refused.value)
    assert "Let its jobs end with that version" in str(refused.value)
    guide = re.search(r"docs/\S+\.md", str(refused.value))
    assert guide is not None
    assert "## From a version before 0.1.0" in (ROOT / guide[0]).read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("0001_ledger.sql", "CREATE TABLE a (x);\n", "does not begin with -- expand: or -- contract:"),
        (
            "0001_ledger.sql",
            "-- adds: a table\nCREATE TABLE a (x);\n",
            "does not begin with -- expand: or -- contract:",
        ),
        ("0002_ledger.sql", "-- expand: a table\nCREATE TABLE a (x);\n", "not numbered 1, 2, 3"),
        ("ledger.sql", "-- expand: a table\nCREATE TABLE a (x);\n", "not named NNNN_words.sql"),
    ],
)
def test_a_file_that_does_not_say_what_it_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setattr(migrate_module, "SCHEMA", tmp_path)
    with pytest.raises(ValueError, match=words):
        migrations("sqlite")


# --- Postgres alone: several processes begin at once ----------------------------------------------------------------


async def test_of_several_that_begin_at_once_one_migrates_and_all_open(database_url: str) -> None:
    opening = [
        open_postgres(database_url, now=NOON + n, connections=2, seconds=5, providers=PROVIDERS) for n in range(5)
    ]
    stores = await asyncio.gather(*opening)
    accepted = await asyncio.gather(*(Story(store).accept() for store in stores))
    assert len(set(accepted)) == 5
    await asyncio.gather(*(store.close() for store in stores))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(DISTINCT applied_at) FROM migrations").fetchall() == [(1,)]
