"""Text in every script is kept, whatever encoding the role, the database or the environment asks for."""

from urllib.parse import urlsplit

import pytest

from ledger.errors import CannotOpen
from ledger.requests import NewJob
from ledger.transitions import jobs
from tests.conftest import NOON
from tests.ledger.conftest import Opening
from tests.postgres.servers import PostgresServer

METADATA = '{"who": "Zoë 顔 \U0001f600"}'
NEW = NewJob(provider="fal", model="a/b", input="{}", metadata=METADATA)


@pytest.fixture(params=["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["role", "database", "PGCLIENTENCODING", "option of the URL"])
def asking(
    request: pytest.FixtureRequest, encoding: str, url: str, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of a database whose sessions are set to another encoding."""
    place, name = request.param, urlsplit(url).path.strip("/")
    if place == "role":
        server.query(f"CREATE ROLE speaker_{name} LOGIN SUPERUSER")
        server.query(f"ALTER ROLE speaker_{name} SET client_encoding = '{encoding}'")
        url = url.replace("postgres@", f"speaker_{name}@")
    elif place == "database":
        server.query(f"ALTER DATABASE {name} SET client_encoding = '{encoding}'")
    elif place == "PGCLIENTENCODING":
        monkeypatch.setenv("PGCLIENTENCODING", encoding)
    else:
        url += f"{'&' if '?' in url else '?'}client_encoding={encoding}"
    return url


async def test_a_session_uses_utf8_whatever_it_is_told(asking: str, opening: Opening) -> None:
    store = await opening(asking)
    accepted = await store.write(jobs.accept(NEW, now=NOON))
    job = await jobs.read_job(store, accepted.job_id)
    assert job is not None
    assert job.metadata == METADATA


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_is_not_utf8_is_refused_in_one_line(
    encoding: str, server: PostgresServer, opening: Opening
) -> None:
    server.query(
        f"CREATE DATABASE in_{encoding.lower()} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    with pytest.raises(CannotOpen) as refused:
        await opening(server.url(f"in_{encoding.lower()}"))
    words = str(refused.value)
    assert f"the encoding of the database is {encoding}" in words
    assert "ENCODING 'UTF8'" in words
    assert "DATABASE_URL" in words
    assert "\n" not in words
