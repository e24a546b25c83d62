"""Times as JSON."""

from datetime import UTC, datetime


def rfc3339(at: int) -> str:
    """Write a time in ms as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(at: int | None) -> str | None:
    """Write a time in ms as RFC 3339; None stays None."""
    return None if at is None else rfc3339(at)
