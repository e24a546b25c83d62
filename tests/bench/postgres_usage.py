"""The CPU that a Postgres server has used, and the write-ahead log it has written."""

import psutil

from tests.postgres.servers import PostgresServer


def cpu_seconds(server: PostgresServer) -> float:
    """Return the CPU seconds of the postmaster and all its processes, those that have exited included."""
    postmaster = psutil.Process(server.pid)
    own = postmaster.cpu_times()
    used = own.user + own.system + own.children_user + own.children_system
    for process in postmaster.children():
        times = process.cpu_times()
        used += times.user + times.system
    return used


def wal_bytes_written(server: PostgresServer) -> int:
    """Return the bytes of write-ahead log that it has written."""
    return int(server.query("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")[0][0])
