"""What a Postgres server has used and written since it was started."""

import psutil

from tests.postgres.servers import PostgresServer


def used_by(server: PostgresServer) -> float:
    """Sum the CPU seconds of the postmaster and all its processes, those that are gone among them."""
    postmaster = psutil.Process(server.pid)
    own = postmaster.cpu_times()
    used = own.user + own.system + own.children_user + own.children_system
    for process in postmaster.children():
        times = process.cpu_times()
        used += times.user + times.system
    return used


def written_by(server: PostgresServer) -> int:
    """Count the bytes of its write-ahead log."""
    return int(server.ask("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")[0][0])
