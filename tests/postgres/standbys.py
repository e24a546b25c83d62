"""A primary and its standby: no commit returns before the standby has it, until the standby is promoted."""

import contextlib
from collections.abc import Iterator

from tests.postgres.binaries import run
from tests.postgres.servers import PostgresServer, serving
from tests.process.children import until

WAIT_FOR_ALL = "ALTER SYSTEM SET synchronous_standby_names = '*'"
WAIT_FOR_NONE = "ALTER SYSTEM SET synchronous_standby_names = ''"
RELOAD = "SELECT pg_reload_conf()"


class Standby(PostgresServer):
    """A copy of another server that follows it, and answers reads."""

    def promote(self) -> None:
        """Make it a primary that waits for no standby, whatever the old one does."""
        # Before, not after: its configuration is a copy of the old primary's, which may have waited for a standby.
        self.query(WAIT_FOR_NONE)
        self.query(RELOAD)
        until("the standby waits for no other", lambda: self.query("SHOW synchronous_standby_names") == [("",)])
        assert self.query("SELECT pg_promote(true, 30)") == [(True,)], self.output
        until("the promoted standby takes writes", lambda: self.query("SELECT pg_is_in_recovery()") == [(False,)])


def start_standby(primary: PostgresServer) -> Standby:
    """Copy a running primary, follow it, and make its commits wait for the copy."""
    standby = Standby(fsync=primary.fsync)
    try:
        run("pg_basebackup", "-d", primary.url(), "-D", standby.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        standby.start()
        primary.query("ALTER SYSTEM SET wal_keep_size = '512MB'")  # a standby that was away for long can catch up
        primary.query(WAIT_FOR_ALL)
        primary.query(RELOAD)
        following = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
        until("commits wait for the standby", lambda: primary.query(following))
    except BaseException:
        standby.close()
        raise
    return standby


def url_of_both(first: PostgresServer, second: PostgresServer, database: str = "postgres") -> str:
    """Return a URL with both hosts: libpq connects to the one that accepts writes."""
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
    return f"postgres://postgres@{hosts}/{database}?target_session_attrs=read-write"


@contextlib.contextmanager
def replicated(*, fsync: bool = True, **settings: str) -> Iterator[tuple[PostgresServer, Standby]]:
    """Run a primary and its standby for the block."""
    with serving(fsync=fsync, **settings) as primary, contextlib.closing(start_standby(primary)) as standby:
        yield primary, standby
