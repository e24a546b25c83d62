"""Runs the code blocks of a page as a reader does: some in terminals of their own, the others one after another.

A block in a terminal keeps running; it is replaced by the next block for the same terminal. The ports that the pages
name are exchanged for free ones, and files are kept in a temporary folder.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from sandbox.demo.processes import free_port
from tests.documentation.pages import QUICKSTART, ROOT, Block, blocks, is_run
from tests.process.children import environment, until

RECEIVER, SANDBOX, CONSUMER = "8000", "9000", "9100"
"""The ports as the pages have them."""

TERMINALS = {"receiver": RECEIVER, "sandbox": SANDBOX, "consumer": CONSUMER}
RUN_SECONDS = 60


class Session:
    """The terminals of one reader. `ran` lists what each block printed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = {port: str(free_port()) for port in TERMINALS.values()}
        self._terminals: dict[str, subprocess.Popen[bytes]] = {}
        self.ran: list[str] = []
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\nmax-time = 30\n")

    def run_page(self, name: str) -> None:
        """Run every block of a page; a page without a receiver is read beside the quickstart's."""
        wanted = [block for block in blocks(name) if is_run(block)]
        if not any(block.label == "terminal=receiver" for block in wanted):
            wanted = [block for block in blocks(QUICKSTART) if block.label.startswith("terminal=")] + wanted
        for block in wanted:
            self.run(block)

    def run(self, block: Block) -> None:
        """Run a block to its end, or start it in its terminal and wait until it serves."""
        terminal = block.label.removeprefix("terminal=")
        if terminal in TERMINALS:
            self._start(terminal, self._adapted(block.text))
            return
        command = ["bash", "-eu", "-o", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, self._adapted(block.text)],
            check=False,
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
        self.ran.append(done.stdout + done.stderr)

    def log(self, terminal: str) -> str:
        """Return what a terminal shows."""
        return self._log(terminal).read_text("utf-8") if self._log(terminal).exists() else ""

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self._ports[port]}"

    @property
    def inbox(self) -> Path:
        """Where the consumer stores notifications."""
        return self._folder / "inbox"

    def close(self) -> None:
        for terminal in list(self._terminals):
            self._stop(terminal)

    def _start(self, terminal: str, text: str) -> None:
        self._stop(terminal)
        port = self._ports[TERMINALS[terminal]]
        listens = {"HOST": "127.0.0.1", "PORT": port} if terminal == "receiver" else {}
        with self._log(terminal).open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-eu", "-c", text],
                cwd=ROOT,
                env=self._environment() | listens,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._terminals[terminal] = process
        ready: Callable[[], bool] = (
            (lambda: _answers(f"http://127.0.0.1:{port}/readyz")) if listens else (lambda: _listens(int(port)))
        )

        def serves() -> bool:
            assert process.poll() is None, self.log(terminal)
            return ready()

        until(f"{terminal} serves", serves)

    def _stop(self, terminal: str) -> None:
        process = self._terminals.pop(terminal, None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(15)

    def _adapted(self, text: str) -> str:
        """Exchange the ports, and leave out the virtual environment: the tests' own is used."""
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text.replace(". .venv/bin/activate\n", "")

    def _environment(self) -> dict[str, str]:
        return environment(
            {
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "CURL_HOME": str(self._folder),
                "DATABASE_URL": f"sqlite:///{self._folder / 'renderhook.db'}",
                "INBOX": str(self.inbox),
                "RENDERHOOK_URL": self.url(RECEIVER),
            }
        )

    def _log(self, terminal: str) -> Path:
        return self._folder / f"{terminal}.log"


@contextlib.contextmanager
def reader(folder: Path) -> Iterator[Session]:
    session = Session(folder)
    try:
        yield session
    finally:
        session.close()


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
