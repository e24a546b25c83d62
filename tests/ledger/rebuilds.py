"""A ledger with 100,000 rows in its largest tables, and migrations that rebuild one of them on either database."""

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection
from ledger.storage import migrations
from ledger.storage.statements import Dialect

ROWS = 100_000

_EACH = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) "
FILL = (
    "INSERT INTO providers (name) VALUES ('fal') ON CONFLICT (name) DO NOTHING",
    "INSERT INTO endpoints (id, url, source, created_at) VALUES ('ep_settings', 'https://u.example/', 'settings', 1)",
    "INSERT INTO jobs (id, provider, model, state, request_digest, created_at, last_transition, last_sequence) "
    f"{_EACH} SELECT 'job_' || CAST(1000000 + i AS TEXT), 'fal', 'a/b', 'accepted', 'd', i, 't', 1 FROM n",
    "INSERT INTO inputs (job_id, input, metadata) SELECT id, '{}', '{}' FROM jobs",
    "INSERT INTO events (subject, sequence, type, public, at, transition) "
    "SELECT id, 1, 'job.submitted', 1, 1, 't' FROM jobs",
    "INSERT INTO deliveries (id, subject, sequence, endpoint_id, state, created_at, due_at) "
    "SELECT 'msg_' || id || '_1_settings', id, 1, 'ep_settings', 'pending', 1, 1 FROM jobs",
    "INSERT INTO attempts (delivery_id, number, at, latency_ms) SELECT id, 1, 1, 1 FROM deliveries",
)

CHANGES = {
    # table: the CHECK of a column, before and after the migration
    "jobs": ("BETWEEN 1 AND 200", "BETWEEN 1 AND 300"),
    "deliveries": ("failures >= 0", "failures >= -1"),
}

Run = Callable[[str], Sequence[tuple[Any, ...]]]


def schema_with_rebuild(folder: Path, table: str) -> Path:
    """Write a schema whose second migration rebuilds `table` with another CHECK, for each database."""
    folder.mkdir()
    for file in migrations.SCHEMA.iterdir():
        (folder / file.name).write_text(file.read_text())
    old, new = CHANGES[table]
    first = f"-- contract: rebuild {table}\n"
    (folder / "0002_rebuild.sqlite.sql").write_text(first + rebuild_on_sqlite(table, old, new))
    (folder / "0002_rebuild.postgres.sql").write_text(first + rebuild_on_postgres(table, old, new))
    return folder


def rebuild_on_sqlite(table: str, old: str, new: str) -> str:
    """Follow https://sqlite.org/lang_altertable.html#otheralter. Views are dropped first, or RENAME would fail."""
    made = catalogue()
    [create] = [text for kind, name, text in made if (kind, name) == ("table", table)]
    assert old in create
    indexes = [text for kind, name, text in made if kind == "index" and re.search(rf" ON {table} ", text)]
    statements = [
        *drops(),
        create.replace(f"CREATE TABLE {table} ", f"CREATE TABLE {table}_new ").replace(old, new),
        f"INSERT INTO {table}_new SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_new RENAME TO {table}",
        *indexes,
        *views("sqlite"),
    ]
    return "".join(f"{statement};\n" for statement in statements)


def rebuild_on_postgres(table: str, old: str, new: str) -> str:
    """Rebuild the table, and drop and recreate the foreign keys that refer to it."""
    referring = {"jobs": ("inputs", "outputs", "subscriptions"), "deliveries": ("attempts",)}[table]
    own = {
        "jobs": "ADD FOREIGN KEY (provider) REFERENCES providers (name)",
        "deliveries": "ADD FOREIGN KEY (endpoint_id) REFERENCES endpoints (id), "
        "ADD FOREIGN KEY (subject, sequence) REFERENCES events (subject, sequence)",
    }[table]
    column = {"jobs": "job_id", "deliveries": "delivery_id"}[table]
    checked = {"jobs": f"length(model) {new}", "deliveries": new}[table]
    check = {"jobs": "jobs_model_check", "deliveries": "deliveries_failures_check"}[table]
    statements = [
        *drops(),
        f"CREATE TABLE {table}_new (LIKE {table} INCLUDING ALL)",
        f"ALTER TABLE {table}_new DROP CONSTRAINT {check}, ADD CONSTRAINT {check} CHECK ({checked})",
        f"INSERT INTO {table}_new SELECT * FROM {table}",
        *(f"ALTER TABLE {other} DROP CONSTRAINT {other}_{column}_fkey" for other in referring),
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_new RENAME TO {table}",
        f"ALTER TABLE {table} {own}",
        *(f"ALTER TABLE {other} ADD FOREIGN KEY ({column}) REFERENCES {table} (id)" for other in referring),
        *views("postgres"),
    ]
    return "".join(f"{statement};\n" for statement in statements)


def catalogue() -> list[tuple[str, str, str]]:
    """Return kind, name and text of each table, index and view of a new file, in the order of their creation."""
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=_DictConnection)) as connection:
        migrate(connection, 1)
        connection.row_factory = None
        query = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
        return connection.execute(query).fetchall()


def views(dialect: Dialect) -> list[str]:
    """Return the statements that create the views."""
    [first] = migrations.migrations(dialect)
    return re.findall(r"^CREATE VIEW .*?(?=;$)", first.sql, re.MULTILINE | re.DOTALL)


def drops() -> list[str]:
    return [f"DROP VIEW {text.split()[2]}" for text in reversed(views("sqlite"))]


def fill_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None, factory=_DictConnection)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        migrate(connection, 1)
        connection.execute("BEGIN")
        for statement in FILL:
            connection.execute(statement)
        connection.execute("COMMIT")


def fill_postgres(url: str) -> None:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT current_setting('is_superuser')").fetchone() == ("on",):
            connection.execute("SET session_replication_role = replica")  # no foreign key checks, which would take long
        for statement in FILL:
            connection.execute(statement.encode())


WHOLE = dict.fromkeys(("jobs", "inputs", "events", "deliveries", "attempts"), ROWS)
ORPHANS = (
    "SELECT count(*) FROM inputs WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = job_id)",
    "SELECT count(*) FROM attempts WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE id = delivery_id)",
    "SELECT count(*) FROM deliveries AS d WHERE NOT EXISTS (SELECT 1 FROM events AS v WHERE v.subject = d.subject)",
)
HANGING = {
    "jobs": "INSERT INTO inputs (job_id, input, metadata) VALUES ('job_none', '{}', '{}')",
    "deliveries": "INSERT INTO attempts (delivery_id, number, at, latency_ms) VALUES ('msg_none', 1, 1, 1)",
}
"""A row that refers to a missing row of the table: refused if the foreign key was recreated."""

UPDATED = {
    "jobs": f"UPDATE jobs SET model = '{'m' * 250}' WHERE id = 'job_1000001'",
    "deliveries": "UPDATE deliveries SET failures = -1 WHERE id = 'msg_job_1000001_1_settings'",
}
"""Accepted by the new CHECK only."""


def counts(run: Run) -> dict[str, int]:
    return {table: int(run(f"SELECT count(*) FROM {table}")[0][0]) for table in WHOLE}
