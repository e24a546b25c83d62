"""DATABASE_URL: what is refused, in words that say what would be right and never repeat the password."""

import tomllib
from pathlib import Path

import psycopg
import pytest

from ledger.postgres.connections import refusal_of
from ledger.urls import NEEDS_PSYCOPG, UNREADABLE, fault_of_url

PASSWORD = "correct-horse"
PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///data/renderhook.db",
        "sqlite:////var/lib/a b.db",
        "postgres://u:p@h:5432/d?sslmode=require&options=-csearch_path%3Dours",
        "postgresql://h1,h2/d?target_session_attrs=read-write",
        "postgres://h/d?user=me@server&password=p",
        "postgres://u:correct?ssl=x@h/d",
    ],
)
def test_urls_of_either_database_are_accepted(url: str) -> None:
    assert fault_of_url(url) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///:memory:", "must name a file: what SQLite keeps in memory is lost"),
        ("sqlite:///file::memory:?cache=shared", "must name a file"),
        ("sqlite:///data/renderhook.db?mode=ro", "must be a path without options"),
        ("sqlite:///~/renderhook.db", "~ is not replaced by a home folder"),
        ("sqlite+aiosqlite:///x.db", "must be sqlite:///path"),
        ("mysql://u:correct-horse@h/d", "must be sqlite:///path"),
        ("postgres://u:correct-horse@h/d?pgbouncer=true", "the option pgbouncer is another driver's"),
        ("postgres://u:correct-horse@h/d?sslmode=require&schema=public", "write options=-csearch_path%3DNAME"),
        ("postgres://u:correct-horse@h/d?connection_limit=1", "DATABASE_CONNECTIONS"),
        ("postgres://u:correct-horse@h/d?sslmode=no-verify", "write sslmode=require"),
        ("postgres://u:correct-horse/x@h/d", "as %XX"),
        ("postgres://u:correct-horse@x@h/d", "as %XX"),
    ],
)
def test_other_urls_are_refused_with_what_would_be_right(url: str, words: str) -> None:
    fault = fault_of_url(url)
    assert fault is not None
    assert words in fault
    assert "horse" not in fault


def test_an_option_that_libpq_does_not_know_is_named() -> None:
    url = f"postgres://u:{PASSWORD}@h/d?colour=blue"
    with pytest.raises(psycopg.ProgrammingError) as refused:
        psycopg.connect(url)
    assert str(refusal_of(refused.value, url)) == "DATABASE_URL: libpq knows no option colour: leave it out"


def test_a_part_of_a_password_is_not_named_as_an_option() -> None:
    url = "postgres://u:1/correct?horse=x@h/d"
    with pytest.raises(psycopg.ProgrammingError, match="horse") as refused:
        psycopg.connect(url)
    assert str(refusal_of(refused.value, url)) == f"DATABASE_URL: {UNREADABLE}"


def test_the_command_for_a_missing_driver_installs_what_the_extra_asks_for() -> None:
    [requirement] = PYPROJECT["project"]["optional-dependencies"]["postgres"]
    assert f"pip install '{requirement}'" in NEEDS_PSYCOPG
