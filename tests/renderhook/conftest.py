from collections.abc import Iterator

import pytest

from tests.renderhook.processes import RunningReceiver, running_receiver


@pytest.fixture(scope="session")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    with running_receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running
