"""What a ledger's rows are, on either database: the tables, their keys, and the one form in which rows are compared.

`tests/ledger/test_ledger_copying.py` holds this against both schemas.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

Value = str | int | bytes | None
Values = tuple[Value, ...]
Type = Literal["text", "bigint", "bytea"]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table: `columns` are its names and Postgres' types, the first `key_length` of them its key.

    Keys sort alike on both: as their bytes do, or as numbers.
    """

    name: str
    columns: dict[str, Type]
    key_length: int

    @property
    def key(self) -> Sequence[str]:
        """Name the columns that tell a row from all others."""
        return tuple(self.columns)[: self.key_length]

    def key_of(self, row: Values) -> Values:
        """Return the key of a row."""
        return row[: self.key_length]


def _table(name: str, key: str, columns: str = "", *, numbers: str = "", blobs: str = "") -> Table:
    """Describe a table whose columns are text, but for `numbers` and `blobs`, which are any of the others."""
    types: dict[str, Type] = dict.fromkeys([*key.split(), *columns.split()], "text")
    for number in numbers.split():
        types[number] = "bigint"
    for blob in blobs.split():
        types[blob] = "bytea"
    return Table(name=name, columns=types, key_length=len(key.split()))


TABLES = (
    _table(
        "jobs",
        "id",
        "provider model state idempotency_key request_digest provider_request_id status_url response_url cancel_url "
        "source fingerprint warning error_fault error_code error_message last_transition",
        numbers="submissions claimed_until unconfirmed_at created_at submitted_at finalized_at processing_time_ms "
        "error_retryable last_sequence",
    ),
    _table("inputs", "job_id", "input metadata"),
    _table("outputs", "job_id position", "url content_type file_name", numbers="position file_size width height"),
    _table(
        "receipts",
        "job_id id",
        "provider source request_id result headers",
        numbers="received_at",
        blobs="body",
    ),
    _table("events", "job_id sequence", "type", numbers="sequence at"),
    _table("endpoints", "id", "url scope disabled_reason", numbers="created_at disabled_at removed_at"),
    _table("subscriptions", "job_id endpoint_id"),
    _table(
        "deliveries",
        "id",
        "job_id endpoint_id state reason",
        numbers="sequence attempts failures created_at due_at finalized_at",
    ),
    _table(
        "attempts",
        "delivery_id number",
        "error",
        numbers="number at status latency_ms",
        blobs="response",
    ),
)
"""Every table that moves, those that others refer to first. `work` is made anew of these; `migrations` stays."""


class Seen(msgspec.Struct, frozen=True):
    """How many rows there are between two keys, and the checksum of them all."""

    number: int
    checksum: str


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """The source's rows after the key `low` and up to `high`, in order; without bound where it is None."""

    table: Table
    low: Values | None
    high: Values | None
    rows: Sequence[Values]
    checksums: Sequence[bytes]

    @property
    def seen(self) -> Seen:
        """Sum it up, as the target sums up its rows between the same keys."""
        return Seen(len(self.rows), hashlib.sha256(b"".join(self.checksums)).hexdigest())


def bounds(table: Table, low: Values | None, high: Values | None, mark: str) -> tuple[str, Sequence[Value]]:
    """Say in SQL, with `mark` for each value: after the key `low`, up to `high`; and return the values."""
    key, marks = ", ".join(table.key), ", ".join([mark] * table.key_length)
    parts = [f"({key}) {sign} ({marks})" for sign, bound in ((">", low), ("<=", high)) if bound is not None]
    return f"WHERE {' AND '.join(parts)}" if parts else "", (*(low or ()), *(high or ()))


def kept(row: Values) -> Values:
    """Return a row as Postgres keeps it: its text has no room for NUL, and says U+FFFD in its place."""
    return tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row)


def canonical(row: Values) -> bytes:
    """Write a row so that no two are written alike: as `_words` of ledger/copying/target.py has Postgres do."""
    return ",".join(
        [
            "-"
            if value is None
            else f"{len(value)}:{value}"
            if type(value) is str
            else value.hex()
            if type(value) is bytes
            else str(value)
            for value in row
        ]
    ).encode()


def arriving(row: Values) -> tuple[Values, bytes]:
    """Return a row as Postgres keeps it, and the same written canonically."""
    written = canonical(row)
    if b"\0" in written:  # looked for here, once for the whole row: hardly any has it
        row = kept(row)
        written = canonical(row)
    return row, written


def checksum(written: bytes) -> bytes:
    """Make the checksum of a row that is written canonically."""
    return hashlib.sha256(written).digest()


def first_difference(ours: dict[Values, bytes], theirs: dict[Values, bytes]) -> str:
    """Name the first key of which two sides have not the same: rows' checksums by their keys, ours first."""
    for key in sorted(ours.keys() | theirs.keys(), key=repr):
        name = " ".join(map(str, key))
        if key not in theirs:
            return f"{name} is missing at the target"
        if key not in ours:
            return f"{name} is only at the target"
        if ours[key] != theirs[key]:
            return f"{name} differs"
    return "no key differs now"
