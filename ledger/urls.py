"""DATABASE_URL: which database it names, and whether it can be read."""

SQLITE = "sqlite:///"
POSTGRES = ("postgres://", "postgresql://")

UNREADABLE = (
    "DATABASE_URL cannot be read as postgres://user:password@host:port/name?option=value, with options of libpq: "
    "in user and password, write every character other than letters, digits and -._~ as %XX"
)
"""The message for a URL that cannot be parsed. It does not quote the URL, which may hold a password."""


def is_ambiguous(url: str) -> bool:
    """Return whether the password has a raw `@` or `/`, so that libpq would read a part of it as the host."""
    user, at, rest = url.partition("://")[2].partition("?")[0].partition("@")
    return bool(at) and ("/" in user or "@" in rest)


def on_postgres(url: str) -> bool:
    """Return whether the URL names Postgres, which many processes may open."""
    return url.startswith(POSTGRES)
