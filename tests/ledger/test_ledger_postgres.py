"""Opening the ledger on Postgres: URLs of libpq, encryption, and errors in one line without the password."""

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
from tests.ledger.waiting import wait_until
from tests.postgres.servers import PostgresServer
from tests.postgres.tls_proxy import TLSProxy, encrypting
from tests.process.children import free_port

NEW = NewJob(provider="fal", model="a/b", input="{}")
PASSWORD, WRONG = "right-horse-18", "wrong-horse-18"


async def works(store: PostgresStore) -> bool:
    accepted = await store.write(jobs.accept(NEW, now=NOON))
    return await jobs.read_job(store, accepted.job_id) is not None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
async def test_both_url_schemes_open_the_database(url: str, scheme: str) -> None:
    named = url.replace("postgres:", f"{scheme}:", 1)
    ledger = await open_ledger(
        named, providers=PROVIDERS, clock=lambda: NOON, waiting_limit=10, connections=3, seconds=2
    )
    assert isinstance(ledger.store, PostgresStore)
    assert await works(ledger.store)
    await ledger.close()


@pytest.fixture(scope="module")
def guarded(server: PostgresServer) -> PostgresServer:
    """The server requires a password of the user `visitor`, and rejects the user `rejected`."""
    rules = server.data / "pg_hba.conf"
    rules.write_text("host all visitor all scram-sha-256\nhost all rejected all reject\n" + rules.read_text())
    server.query(f"CREATE ROLE visitor LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    for statement in ("CREATE ROLE reader LOGIN", 'CREATE ROLE "group"', "CREATE DATABASE closed"):
        server.query(statement)
    server.query("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    server.query("SELECT pg_reload_conf()")
    return server


async def test_the_right_password_opens_the_database(guarded: PostgresServer, url: str, opening: Opening) -> None:
    assert await works(await opening(url.replace("postgres@", f"visitor:{PASSWORD}@")))


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("user", "rest", "words"),
    [
        (f"visitor:{WRONG}", "", 'password authentication failed for user "visitor"'),
        (f"rejected:{WRONG}", "", "pg_hba.conf rejects connection"),
        (f"missing:{WRONG}", "", 'role "missing" does not exist'),
        (f"postgres:{WRONG}", "x", "does not exist"),
        (f"group:{WRONG}", "", 'role "group" is not permitted to log in'),
        (f"reader:{WRONG}", "?dbname=closed", 'permission denied for database "closed"'),
        (f"postgres:{WRONG}", "?sslmode=perhaps", "perhaps"),
        (f"postgres:{WRONG}", "?colour=blue", "libpq knows no option colour"),
        (f"postgres:{WRONG} staple", "", "cannot be read"),
    ],
    ids=["password", "rejected", "role", "database", "no login", "no right", "value", "option", "space"],
)
async def test_an_error_for_the_operator_is_one_line_without_the_password(
    url: str, opening: Opening, user: str, rest: str, words: str
) -> None:
    with pytest.raises(CannotOpen) as refused:
        await opening(url.replace("postgres@", f"{user}@") + rest)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert "horse" not in str(refused.value)


async def test_a_user_without_the_right_to_create_tables_is_refused(
    guarded: PostgresServer, url: str, opening: Opening
) -> None:
    with pytest.raises(CannotOpen, match="permission denied for schema public"):
        await opening(url.replace("postgres@", "reader@"))


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
async def test_a_server_that_does_not_answer_is_unavailable(host: str, opening: Opening) -> None:
    with pytest.raises(Unavailable) as refused:
        await opening(f"postgres://postgres:{WRONG}@{host}:{free_port()}/ledger")
    assert "cannot connect to the database" in str(refused.value)
    assert "DATABASE_URL" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert "horse" not in str(refused.value)


async def test_one_of_two_hosts_may_be_down(url: str, opening: Opening) -> None:
    assert await works(await opening(url.replace("@", f"@127.0.0.1:{free_port()},", 1)))


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[TLSProxy]:
    with encrypting(server) as opened:
        yield opened


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_connections_are_encrypted_as_the_url_requires(
    mode: str, proxy: TLSProxy, url: str, opening: Opening
) -> None:
    words = {"sslmode": mode} | ({"sslrootcert": str(proxy.certificate)} if mode == "verify-full" else {})
    through = url.replace(f":{proxy.server.port}/", f":{proxy.port}/") + f"?{urlencode(words)}"
    store = await opening(through)
    assert await works(store)
    async with store.pool.connection() as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sslmode": "disable"}, "no encryption"),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, "certificate verify failed"),
        (
            {"sslmode": "verify-full", "sslrootcert": "nowhere.crt"},
            'root certificate file "nowhere.crt" does not exist',
        ),
    ],
)
async def test_an_unencrypted_connection_or_an_unknown_certificate_is_refused(
    words: dict[str, str], message: str, proxy: TLSProxy, opening: Opening
) -> None:
    with pytest.raises(CannotOpen, match=message):
        await opening(proxy.url(**words))


async def test_a_server_without_tls_is_refused_if_the_url_requires_it(url: str, opening: Opening) -> None:
    with pytest.raises(CannotOpen, match="server does not support SSL"):
        await opening(f"{url}?sslmode=require")


async def test_a_failed_open_leaves_no_connection(server: PostgresServer, url: str, opening: Opening) -> None:
    await (await opening()).close()
    name = url.rpartition("/")[2]
    server.query("INSERT INTO migrations VALUES (9999, 'later', 'contract', 'x', 1)", database=name)
    with pytest.raises(LedgerError):
        await opening()

    async def unused() -> bool:  # a session ends a moment after its connection is closed
        return server.query("SELECT 1 FROM pg_stat_activity WHERE datname = %s", name) == []

    await wait_until("no session is left", unused)
