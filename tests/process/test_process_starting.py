"""The start: what is refused in one line that names the setting, what is logged as a warning, and the Procfile."""

import shlex
import signal
import sys
from pathlib import Path

import pytest

from telemetry.version import VERSION
from tests.process.children import ROOT, Child, answers, free_port, until
from tests.process.deployment import Deployment
from tests.process.test_process_refusals import refusal


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SSL_CERT_FILE", "/nothing.pem", "cannot read /nothing.pem: No such file or directory"),
        ("DATABASE_URL", "sqlite:///:memory:", "must name a file"),
        (
            "DATABASE_URL",
            "postgres://u:hidden-horse@h/d?pgbouncer=true",
            "leave it out, because a pooler is recog",
        ),
        ("DATABASE_URL", "postgres://u:hidden-horse@h/d?schema=public", "write options=-csearch_path%3DNAME instead"),
        ("DATABASE_URL", "postgres://u:hidden-horse@h/d?sslmode=no-verify", "write sslmode=require"),
        ("FAL_KEY", '"hidden-horse"', "is in quotation marks"),
        ("API_KEY", "'hidden-horse-of-tests'", "is in quotation marks"),
        ("HEYGEN_API_KEY", '"hidden-horse"', "is in quotation marks"),
        ("FAL_WEBHOOK_USER_ID", '"user"', "is in quotation marks"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_that_names_it(
    name: str, value: str, words: str, deployment: Deployment
) -> None:
    deployment.settings[name] = value
    (line,) = refusal(deployment)
    assert line.startswith(f"{name}: ")
    assert words in line
    assert "horse" not in line
    assert not deployment.database.parent.exists()


def test_a_file_that_cannot_hold_a_setting_is_one_line_that_names_it(deployment: Deployment, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfhidden-horse")
    deployment.settings |= {"FAL_KEY": "", "FAL_KEY_FILE": str(tmp_path / "key")}
    (line,) = refusal(deployment)
    assert line.startswith("FAL_KEY_FILE: begins with a byte order mark")
    deployment.settings |= {"API_KEY": "", "API_KEY_FILE": str(tmp_path), "FAL_KEY_FILE": ""}
    assert refusal(deployment) == [f"API_KEY_FILE: cannot read {tmp_path}: Is a directory"]


def test_settings_that_are_probably_not_meant_are_warnings_at_the_start(deployment: Deployment) -> None:
    deployment.settings |= {
        "PUBLIC_URL": "http://renderhook.invalid",
        "ALLOW_PRIVATE_TARGETS": "",
        "FAL_KEY": "",
        "HEYGEN_API_KEY": "",
        "FALKEY": "the-fal-key",
    }
    deployment.start()

    def messages() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for event in deployment.logged("setting.flagged", level="warning"):
            found.setdefault(event["setting"], []).append(event["message"])
        return found

    until("all are flagged", lambda: len(messages().get("PUBLIC_URL", ())) == 2 and messages().get("NOTIFY_URL"))
    found = messages()
    assert found["FALKEY"] == ["not a setting, and ignored: is FAL_KEY meant?"]
    assert found["FAL_KEY or HEYGEN_API_KEY"][0].startswith("no provider has a key")
    assert found["PUBLIC_URL"][0].startswith("begins with http")
    assert found["PUBLIC_URL"][1].startswith("this machine does not reach it")
    assert found["NOTIFY_URL"][0].startswith("no notification will be sent there: 127.0.0.1 is not a public address")


def test_the_version_is_the_same_at_every_place(deployment: Deployment) -> None:
    deployment.start()
    [started] = until("the start is logged", lambda: deployment.logged("receiver.started"))
    assert started["version"] == VERSION
    assert deployment.call("GET", "/healthz").json() == {"status": "alive", "version": VERSION}
    shown = Child(deployment.folder / "version.log", [sys.executable, "-m", "renderhook", "--version"], {})
    assert (shown.wait(), shown.output) == (0, f"renderhook {VERSION}\n")


def test_both_lines_of_the_procfile_run_on_sqlite(deployment: Deployment) -> None:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    commands = {name: [sys.executable, *shlex.split(line)[1:]] for name, line in lines.items()}
    deployment.start(*commands["web"])
    worker_settings = deployment.settings | {"PORT": str(free_port())}
    worker = Child(deployment.folder / "worker.log", commands["worker"], worker_settings)
    try:
        until("the worker says that it has nothing to do", lambda: "worker.idled" in worker.output)
        assert answers(deployment.services.http, f"{deployment.url}/readyz")
        assert worker.code() is None
        worker.send_signal(signal.SIGTERM)
        assert worker.wait() == 0
        assert deployment.stop() == 0
    finally:
        worker.kill()
