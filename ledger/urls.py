"""DATABASE_URL: which database it names, and whether it can be read."""

import re
from urllib.parse import parse_qsl

SQLITE = "sqlite:///"
POSTGRES = ("postgres://", "postgresql://")

UNREADABLE = (
    "cannot be read as postgres://user:password@host:port/name?option=value, with options of libpq: "
    "in user and password, write every character other than letters, digits and -._~ as %XX"
)
"""What is said of a URL that cannot be parsed. It does not quote the URL, which may hold a password."""

NEEDS_PSYCOPG = "Postgres needs more packages ({error}): python -m pip install 'psycopg[binary,pool]>=3.2,<4'"
"""What is said where the driver is not installed. The requirement is that of the extra `postgres` in pyproject.toml."""

_FOREIGN_OPTIONS = {
    "pgbouncer": "leave it out, because a pooler is recognised by itself",
    "schema": "write options=-csearch_path%3DNAME instead",
    "connection_limit": "leave it out and set DATABASE_CONNECTIONS",
    "pool_size": "leave it out and set DATABASE_CONNECTIONS",
    "pool_timeout": "leave it out and set DATABASE_TIMEOUT_SECONDS",
    "ssl": "write sslmode=require instead",
}
"""Options of other drivers (Prisma, node-postgres, SQLAlchemy) that users copy with their URL, and what to do."""


def fault_of_url(url: str) -> str | None:
    """Return what is wrong with a DATABASE_URL and what would be right, or None. The URL is not repeated."""
    if re.match(r"sqlite:///[^/]|sqlite:////.", url):
        return _fault_of_path(url.removeprefix(SQLITE))
    if not re.match(r"postgres(ql)?://.", url):
        return "must be sqlite:///path, such as sqlite:///data/renderhook.db, or postgres://user:password@host/name"
    if is_ambiguous(url):
        return UNREADABLE
    return _fault_of_options(re.sub(r"^[^@/]*@", "", url.partition("://")[2]).partition("?")[2])


def _fault_of_path(path: str) -> str | None:
    if ":memory:" in path:
        return "must name a file: what SQLite keeps in memory is lost when the process ends"
    if "?" in path:
        return "must be a path without options: SQLite's are not for users to set"
    if path.startswith("~"):
        return "must be a whole path, with four slashes if it is absolute: ~ is not replaced by a home folder"
    return None


def _fault_of_options(options: str) -> str | None:
    for name, value in parse_qsl(options, keep_blank_values=True):
        if name in _FOREIGN_OPTIONS:
            return f"the option {name} is another driver's and unknown to libpq: {_FOREIGN_OPTIONS[name]}"
        if (name, value) == ("sslmode", "no-verify"):
            return "sslmode=no-verify is another driver's word: write sslmode=require, which verifies nothing either"
    return None


def is_ambiguous(url: str) -> bool:
    """Return whether the password has a raw `@` or `/`, so that libpq would read a part of it as the host."""
    user, at, rest = url.partition("://")[2].partition("?")[0].partition("@")
    return bool(at) and ("/" in user or "@" in rest)


def on_postgres(url: str) -> bool:
    """Return whether the URL names Postgres, which many processes may open."""
    return url.startswith(POSTGRES)
