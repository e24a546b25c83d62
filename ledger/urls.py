"""DATABASE_URL: which database it names, and whether it can be read."""

SQLITE = "sqlite:///"
POSTGRES = ("postgres://", "postgresql://")

UNREADABLE = (
    "DATABASE_URL cannot be read as postgres://user:password@host:port/name?option=value, with options of libpq: "
    "in user and password, what is no letter, digit or one of -._~ must be written as %XX"
)
"""What is said of a URL that is not quoted: it may hold a password."""


def is_ambiguous(url: str) -> bool:
    """Tell whether libpq would take a part of the password for the host: one with a raw `@` or `/`."""
    user, at, rest = url.partition("://")[2].partition("?")[0].partition("@")
    return bool(at) and ("/" in user or "@" in rest)


def on_postgres(url: str) -> bool:
    """Tell whether the ledger is one that many processes may open."""
    return url.startswith(POSTGRES)
