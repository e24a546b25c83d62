"""Databases on a test server: created, copied, queried and dropped."""

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

ANSWER_SECONDS = 10


class Databases:
    """A server, given by the URL of a database whose user may create others."""

    def __init__(self, url: str) -> None:
        self._url, self._parts = url, urlsplit(url)

    def url(self, database: str = "postgres") -> str:
        scheme, host, _, words, _ = self._parts
        return f"{scheme}://{host}/{database}" + (f"?{words}" if words else "")

    def query(self, statement: str, *values: object, database: str | None = None) -> list[Any]:
        """Run one statement in a transaction of its own, and return its rows, if it has any."""
        return self._run(statement.encode(), values, database)

    def create_database(self, name: str, template: str = "template0") -> str:
        """Create a database, empty or as a copy of `template` (which must have no connections), and return its URL."""
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._run(create.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, and close the connections to it."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(
        self, query: bytes | sql.Composed, values: tuple[object, ...] = (), database: str | None = None
    ) -> list[Any]:
        url = self.url(database) if database else self._url
        with psycopg.connect(url, autocommit=True, connect_timeout=ANSWER_SECONDS) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []


def other_server(url: str) -> Databases:
    """Return the server that TEST_DATABASE_URL names; the test fails if databases cannot be created there."""
    server = Databases(url)
    try:
        may = server.query("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user") == [(True,)]
    except psycopg.Error as error:
        pytest.fail(f"TEST_DATABASE_URL names a server that does not answer: {error}", pytrace=False)
    if not may:
        pytest.fail("TEST_DATABASE_URL names a user who may not CREATE DATABASE, as every test needs", pytrace=False)
    return server


@contextlib.contextmanager
def fresh_database(server: Databases, template: str | None = None) -> Iterator[str]:
    """Yield the URL of a database of the test's own: empty, or a copy of `template`."""
    name = f"test_{secrets.token_hex(6)}"
    url = server.create_database(name, template or "template0")
    try:
        yield url
    finally:
        server.drop_database(name)
