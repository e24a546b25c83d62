"""A receiver in a process of its own, and commands in this process beside a scripted server on loopback."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from renderhook import receiver_client, waiting
from renderhook.cli import main
from tests.renderhook.processes import RunningReceiver, running_receiver
from tests.renderhook.scripted_server import ScriptedServer, reply, scripted_server

JOB: dict[str, object] = {"id": "job_1", "state": "completed", "outputs": [], "error": None}
Program = Callable[..., Result]


@pytest.fixture(scope="session")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReceiver]:
    with running_receiver(tmp_path_factory.mktemp("receiver")) as running:
        yield running


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.requests, running.replies = [], [reply(200, JOB)]
    return running


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the commands would have made, in seconds."""
    made: list[float] = []
    for module in (waiting, receiver_client):
        monkeypatch.setattr(module, "sleep", made.append)
    return made


@pytest.fixture
def program(server: ScriptedServer) -> Program:
    def run(*words: str, url: str = "") -> Result:
        return CliRunner().invoke(main, words, env={"RENDERHOOK_URL": url or server.url, "API_KEY": None})

    return run
