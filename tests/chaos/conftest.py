from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.house import House, Neighbours


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house with neighbours of its own, whose consumer takes nothing at first."""
    neighbours = Neighbours(tmp_path, consumer=("--fail-first", "3"))
    built = House(tmp_path, neighbours)
    try:
        yield built
    finally:
        built.close()
        neighbours.close()
