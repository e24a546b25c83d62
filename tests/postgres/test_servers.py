"""The tests' own Postgres servers: killed, suspended, restarted, replicated, pooled, encrypted."""

import contextlib
import threading
from collections.abc import Iterator

import psutil
import psycopg
import pytest

from tests.postgres.databases import Databases, fresh_database, other_server
from tests.postgres.pgbouncer import needs_pgbouncer, pooling
from tests.postgres.servers import PostgresServer, serving
from tests.postgres.standbys import replicated, url_of_both
from tests.postgres.tls_proxy import TLSProxy, encrypting
from tests.process.children import until

TABLE = "CREATE TABLE kept (word text)"
KEEP = "INSERT INTO kept VALUES (%s)"
KEPT = "SELECT word FROM kept ORDER BY word"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that these tests kill and suspend, one after another."""
    with serving(fsync=False) as started:
        yield started


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """The name of a database with an empty table."""
    with fresh_database(server) as url:
        name = url.rpartition("/")[2]
        server.query(TABLE, database=name)
        yield name


def test_a_fresh_database_is_empty_and_dropped_afterwards(postgres_server: Databases) -> None:
    with fresh_database(postgres_server) as url, contextlib.closing(psycopg.connect(url)) as left_open:
        assert left_open.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall() == []
        name = url.rpartition("/")[2]
        postgres_server.drop_database(name)
    assert postgres_server.query("SELECT 1 FROM pg_database WHERE datname = %s", name) == []


def test_a_clone_has_what_its_template_has(server: PostgresServer, database: str) -> None:
    server.query(KEEP, "cloned", database=database)
    with fresh_database(server, template=database) as url, psycopg.connect(url) as connection:
        assert connection.execute(KEPT).fetchall() == [("cloned",)]


def test_a_test_is_given_a_database_of_its_own(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(TABLE)


def test_a_killed_server_restarts_with_what_was_committed(database: str, server: PostgresServer) -> None:
    with contextlib.closing(psycopg.connect(server.url(database))) as cut:
        cut.execute(KEEP, ("rolled back",))
        server.query(KEEP, "committed", database=database)
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            cut.execute("SELECT 1")
    assert [each.pid for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(server.data)] == []
    server.start()
    assert server.query(KEPT, database=database) == [("committed",)]
    assert "automatic recovery" in server.output


def test_a_stopped_server_closes_connections_and_needs_no_recovery(database: str, server: PostgresServer) -> None:
    with contextlib.closing(psycopg.connect(server.url(database))) as cut:
        assert server.stop() == 0
        with pytest.raises(psycopg.OperationalError):
            cut.execute("SELECT 1")
    server.start()
    assert "was shut down at" in server.output.rpartition("starting PostgreSQL")[2]


def test_a_suspended_server_answers_the_same_connection_when_resumed(server: PostgresServer) -> None:
    with psycopg.connect(server.url()) as connection:
        server.suspend()
        asking = threading.Thread(target=connection.execute, args=("SELECT 1",))
        asking.start()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server.url(), connect_timeout=2)
        assert asking.is_alive()
        server.resume()
        asking.join(10)
        assert not asking.is_alive()


def test_a_commit_waits_for_the_standby_which_can_be_promoted() -> None:
    with replicated(fsync=False) as (primary, standby):
        either = url_of_both(primary, standby)
        primary.query(TABLE)
        standby.suspend()
        writing = threading.Thread(target=primary.query, args=(KEEP, "waited"))
        writing.start()
        until("it waits", lambda: primary.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
        standby.resume()
        writing.join(10)
        assert not writing.is_alive()
        primary.kill()
        standby.promote()
        with psycopg.connect(either) as connection:
            connection.execute(KEEP, ("and then",))
            assert connection.info.port == standby.port
            assert connection.execute(KEPT).fetchall() == [("and then",), ("waited",)]


@needs_pgbouncer
def test_pgbouncer_opens_no_more_connections_than_its_pool(database: str, server: PostgresServer) -> None:
    with pooling(server, default_pool_size=2, query_wait_timeout="1") as bouncer:
        url = bouncer.url(database)
        with contextlib.ExitStack() as held:
            for _ in range(2):
                held.enter_context(psycopg.connect(url)).execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError, match="query_wait_timeout"):
                bouncer.query("SELECT 1", database=database)
        assert bouncer.query("SELECT 1", database=database) == [(1,)]


@needs_pgbouncer
def test_pgbouncer_restarts_on_its_port(server: PostgresServer) -> None:
    with pooling(server) as bouncer:
        bouncer.kill()
        with pytest.raises(psycopg.OperationalError):
            bouncer.query("SELECT 1")
        assert bouncer.start().query("SELECT 1") == [(1,)]
        bouncer.stop()
        assert bouncer.start().query("SELECT 1") == [(1,)]


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[TLSProxy]:
    with encrypting(server) as opened:
        yield opened


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_is_verified_in_full(proxy: TLSProxy, host: str) -> None:
    url = proxy.url(host=host, sslmode="verify-full", sslrootcert=str(proxy.certificate))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT length(repeat('long', 500000))").fetchall() == [(2_000_000,)]
        assert connection.pgconn.ssl_in_use


def test_a_closed_proxy_closes_its_connections(server: PostgresServer) -> None:
    with encrypting(server) as proxy:
        cut = psycopg.connect(proxy.url())
    with contextlib.closing(cut), pytest.raises(psycopg.OperationalError):
        cut.execute("SELECT 1")


def test_a_connection_is_encrypted_as_its_url_says(proxy: TLSProxy, server: PostgresServer) -> None:
    psycopg.connect(proxy.url(sslmode="require")).close()
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(proxy.url(sslmode="disable"))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(proxy.url(sslmode="verify-full", sslrootcert="system"))
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        psycopg.connect(server.url() + "?sslmode=require")


def test_another_server_must_let_its_user_make_databases(server: PostgresServer) -> None:
    with fresh_database(other_server(server.url()), template="template0") as url:
        assert url.startswith(server.url("test_"))
    server.query("CREATE ROLE limited LOGIN")
    with pytest.raises(pytest.fail.Exception, match="may not CREATE DATABASE"):
        other_server(server.url().replace("postgres@", "limited@"))
    with pytest.raises(pytest.fail.Exception, match="does not answer"):
        other_server("postgres://postgres@127.0.0.1:1/postgres")
