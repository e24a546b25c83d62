"""What every test may use: a fixed date, a clock that tests move, a ledger on a fresh file, and a list of facts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.sqlite import SQLiteStore, open_sqlite

NOON = 1_767_225_600_000
"""2026-01-01T00:00:00Z in ms: when every test begins."""


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1000)


class Heard(list[tuple[str, dict[str, object]]]):
    """An `Announce` that remembers."""

    def __call__(self, fact: str, /, **fields: object) -> None:
        self.append((fact, fields))

    def named(self, fact: str) -> list[dict[str, object]]:
        return [fields for name, fields in self if name == fact]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await open_sqlite(tmp_path / "ledger.db", now=NOON)
    yield opened
    await opened.close()
