import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from sandbox.command import main
from sandbox.demo.consumer import main as consumer
from sandbox.faults import FAULTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("module", "extra", "path", "stop"),
    [
        ("sandbox", ["--key-seed", "00" * 32, "--fault", "late=1,5xx"], "/sandbox/submissions", signal.SIGTERM),
        ("sandbox.demo.consumer", ["--secret", "whsec_c2VjcmV0"], "/received", signal.SIGINT),
    ],
)
def test_a_server_prints_its_url_and_exits_0_on_a_signal(
    module: str, extra: list[str], path: str, stop: signal.Signals, http: httpx.Client
) -> None:
    command = [sys.executable, "-m", module, "--port", "0", *extra]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout
            line = child.stdout.readline()
            name, _, url = line.strip().partition(" listening on ")
            assert name == module.rpartition(".")[2]
            assert http.get(f"{url}{path}").json() == []
            child.send_signal(stop)
            assert child.wait(5) == 0
            assert child.stdout.read() == ""
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("module", "extra"), [("sandbox", []), ("sandbox.demo.consumer", ["--secret", "whsec_c2VjcmV0"])]
)
def test_a_port_in_use_is_one_line(module: str, extra: list[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", module, "--port", port, *extra]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: cannot listen on 127.0.0.1 port {port} (Address already in use): choose another --port\n"
    )


def test_the_faults_are_listed_with_their_descriptions() -> None:
    shown = CliRunner().invoke(main, ["--faults"]).output
    assert all(name in shown and description in shown for name, description in FAULTS.items())


@pytest.mark.parametrize("wrong", [["--fault", "typo"], ["--key-seed", "00"], ["--key-seed", "zz"]])
def test_a_wrong_option_exits_2_and_is_named(wrong: list[str]) -> None:
    shown = CliRunner().invoke(main, wrong)
    assert shown.exit_code == 2
    assert wrong[0] in shown.output


def test_a_wrong_secret_exits_2_and_is_named() -> None:
    shown = CliRunner().invoke(consumer, ["--secret", "whsec_x"])
    assert shown.exit_code == 2
    assert "--secret" in shown.output
