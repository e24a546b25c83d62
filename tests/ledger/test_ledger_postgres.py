"""Opening the ledger on Postgres: by any URL that libpq takes, encrypted as asked, refused in one clear sentence."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from ledger.errors import CannotOpen, LedgerError, Unavailable
from ledger.open import open_ledger
from ledger.postgres.store import PostgresStore
from ledger.requests import NewJob
from ledger.transitions import jobs
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import Opening
from tests.postgres.servers import PostgresServer
from tests.postgres.tls_proxy import TLSProxy, encrypting
from tests.process.children import free_port

NEW = NewJob(provider="fal", model="a/b", input="{}")
PASSWORD, WRONG = "right-horse-18", "wrong-horse-18"


async def is_of_use(store: PostgresStore) -> bool:
    accepted = await store.write(jobs.accept(NEW, now=NOON))
    return await jobs.read_job(store, accepted.job_id) is not None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
async def test_either_scheme_opens_it(url: str, scheme: str) -> None:
    named = url.replace("postgres:", f"{scheme}:", 1)
    ledger = await open_ledger(
        named, providers=PROVIDERS, clock=lambda: NOON, waiting_limit=10, connections=3, seconds=2
    )
    assert isinstance(ledger.store, PostgresStore)
    assert await is_of_use(ledger.store)
    await ledger.close()


@pytest.fixture(scope="module")
def guarded(server: PostgresServer) -> PostgresServer:
    """The server asks one of its users for a password, and lets another one log in nowhere."""
    rules = server.data / "pg_hba.conf"
    rules.write_text("host all stranger all scram-sha-256\nhost all nobody all reject\n" + rules.read_text())
    server.query(f"CREATE ROLE stranger LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    for statement in ("CREATE ROLE reader LOGIN", 'CREATE ROLE "group"', "CREATE DATABASE closed"):
        server.query(statement)
    server.query("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    server.query("SELECT pg_reload_conf()")
    return server


async def test_the_right_password_opens_it(guarded: PostgresServer, url: str, opening: Opening) -> None:
    assert await is_of_use(await opening(url.replace("postgres@", f"stranger:{PASSWORD}@")))


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("user", "rest", "words"),
    [
        (f"stranger:{WRONG}", "", 'password authentication failed for user "stranger"'),
        (f"nobody:{WRONG}", "", "pg_hba.conf rejects connection"),
        (f"whoever:{WRONG}", "", 'role "whoever" does not exist'),
        (f"postgres:{WRONG}", "x", "does not exist"),
        (f"group:{WRONG}", "", 'role "group" is not permitted to log in'),
        (f"reader:{WRONG}", "?dbname=closed", 'permission denied for database "closed"'),
        (f"postgres:{WRONG}", "?sslmode=perhaps", "perhaps"),
        (f"postgres:{WRONG}", "?colour=blue", "libpq knows no option colour"),
        (f"postgres:{WRONG} staple", "", "cannot be read"),
    ],
    ids=["password", "rejected", "role", "database", "no login", "no right", "value", "option", "space"],
)
async def test_what_an_operator_must_mend_is_told_in_one_line_without_the_password(
    url: str, opening: Opening, user: str, rest: str, words: str
) -> None:
    with pytest.raises(CannotOpen) as refused:
        await opening(url.replace("postgres@", f"{user}@") + rest)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert "horse" not in str(refused.value)


async def test_who_may_not_make_tables_is_told_so(guarded: PostgresServer, url: str, opening: Opening) -> None:
    with pytest.raises(CannotOpen, match="permission denied for schema public"):
        await opening(url.replace("postgres@", "reader@"))


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_server_that_is_not_there_may_come(host: str, opening: Opening) -> None:
    with pytest.raises(Unavailable) as refused:
        await opening(f"postgres://postgres:{WRONG}@{host}:{free_port()}/ledger")
    assert "cannot connect to the database" in str(refused.value)
    assert "DATABASE_URL" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert "horse" not in str(refused.value)


async def test_one_of_two_hosts_is_enough(url: str, opening: Opening) -> None:
    assert await is_of_use(await opening(url.replace("@", f"@127.0.0.1:{free_port()},", 1)))


@pytest.fixture
def door(server: PostgresServer) -> Iterator[TLSProxy]:
    with encrypting(server) as opened:
        yield opened


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_it_is_encrypted_as_asked_also_where_it_listens(
    mode: str, door: TLSProxy, url: str, opening: Opening
) -> None:
    words = {"sslmode": mode} | ({"sslrootcert": str(door.certificate)} if mode == "verify-full" else {})
    through = url.replace(f":{door.server.port}/", f":{door.port}/") + f"?{urlencode(words)}"
    store = await opening(through)
    assert await is_of_use(store)
    async with store.pool.connection() as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"sslmode": "disable"}, "no encryption"),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, "certificate verify failed"),
        (
            {"sslmode": "verify-full", "sslrootcert": "nowhere.crt"},
            'root certificate file "nowhere.crt" does not exist',
        ),
    ],
)
async def test_what_is_not_encrypted_or_not_vouched_for_is_refused(
    words: dict[str, str], told: str, door: TLSProxy, opening: Opening
) -> None:
    with pytest.raises(CannotOpen, match=told):
        await opening(door.url(**words))


async def test_a_server_without_encryption_is_refused_to_who_asks_for_it(url: str, opening: Opening) -> None:
    with pytest.raises(CannotOpen, match="server does not support SSL"):
        await opening(f"{url}?sslmode=require")


async def test_what_cannot_be_opened_leaves_nobody_connected(
    server: PostgresServer, url: str, opening: Opening
) -> None:
    await (await opening()).close()
    name = url.rpartition("/")[2]
    server.query("INSERT INTO migrations VALUES (9999, 'later', 'contract', 'x', 1)", database=name)
    with pytest.raises(LedgerError):
        await opening()
    assert server.query("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", name) == [(0,)]
