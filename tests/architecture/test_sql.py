"""SQL is only in the .sql files of the ledger, except where this module names the exception and its reason."""

import ast
import re

import pytest

from tests.architecture.repository import texts

MAY_CONTAIN_SQL = (
    "ledger/copying/",  # copies whole tables from one database to another
    "ledger/postgres/connections.py",  # session settings
    "ledger/postgres/migrate.py",  # reads which migrations were applied, before any statement of ours can be
    "ledger/postgres/transactions.py",  # begins and ends transactions
    "ledger/postgres/wakeups.py",  # LISTEN and NOTIFY
    "ledger/sqlite/migrate.py",  # as ledger/postgres/migrate.py
    "ledger/sqlite/store.py",  # pragmas
    "ledger/storage/migrations.py",  # as ledger/postgres/migrate.py
    "sandbox/demo/run.py",  # prints what was recorded from the file itself
    "tests/",  # read the database themselves
)


STATEMENT = re.compile(
    r"\b(SELECT|INSERT( OR \w+)? INTO|UPDATE|DELETE FROM|(CREATE|ALTER|DROP) (TABLE|INDEX|VIEW|TRIGGER)|PRAGMA)\s"
    r"|(?i:^\s*(select \*|insert into|update \w+ set|delete from|pragma) )"
)


def sql_in_python(path: str, source: str) -> list[str]:
    """Strings that speak SQL. Documentation may talk about an UPDATE; it is not sent to a database."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said]
    return [f"{path}:{node.lineno}" for node in strings if isinstance(node.value, str) and STATEMENT.search(node.value)]


def test_sql_lives_in_the_sql_files_of_the_ledger() -> None:
    elsewhere = [(path, text) for path, text in texts(".py") if not path.startswith(MAY_CONTAIN_SQL)]
    assert [found for path, text in elsewhere for found in sql_in_python(path, text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "db.execute('SELECT id FROM jobs')",
        "q = f'SELECT {column} FROM jobs'",
        "q = '''\n  INSERT INTO jobs VALUES (1)'''",
        "q = 'INSERT OR IGNORE INTO jobs VALUES (1)'",
        "q = 'UPDATE jobs SET state = ' + state",
        "q = 'DELETE FROM jobs'",
        "q = 'PRAGMA synchronous=OFF'",
        "q = 'CREATE TABLE jobs (id)'",
        "q = 'update jobs set state = 1'",
        "q = 'insert into jobs values (1)'",
    ],
)
def test_sql_elsewhere_is_found(line: str) -> None:
    assert sql_in_python("receiver/web/app.py", line)


@pytest.mark.parametrize("line", ["'''The UPDATE that moves it.'''", "say('Select one from the list, update it')"])
def test_prose_is_not_sql(line: str) -> None:
    assert not sql_in_python("receiver/web/app.py", line)
