from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.deployment import Deployment, Services


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment with services of its own, whose consumer takes nothing at first."""
    services = Services(tmp_path, consumer=("--fail-first", "3"))
    built = Deployment(tmp_path, services)
    try:
        yield built
    finally:
        built.close()
        services.close()
