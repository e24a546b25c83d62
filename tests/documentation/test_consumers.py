"""The example consumers of notifications, run: what they accept, what they refuse, and what they store."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from receiver.notifier.signatures import signed_headers
from tests.documentation.pages import ROOT, blocks

EXAMPLES = ROOT / "docs/examples"
PAGE = "docs/how-to/receive-notifications.md"

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = "whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
"""NEW, as NOTIFY_SECRET has it."""

BODY = b'{"type":"job.completed","timestamp":"2026-01-01T00:00:00.000Z","data":{"job":{"id":"job_1","outputs":[]}}}'


@pytest.mark.parametrize(
    ("language", "file"), [("python", "verify_notification.py"), ("js", "verify_notification.mjs")]
)
def test_the_page_shows_the_verification_as_the_example_has_it(language: str, file: str) -> None:
    (shown,) = (block.text for block in blocks(PAGE) if block.language == language)
    assert "def verify(" in shown or "function verify(" in shown
    assert shown in (EXAMPLES / file).read_text("utf-8")


class Consumer:
    """An example that is running, and the folder in which it stores notifications."""

    def __init__(self, url: str, inbox: Path) -> None:
        self.url = url
        self.inbox = inbox

    def deliver(self, body: bytes = BODY, **changed: str) -> int:
        return self.send(body, signed_headers("msg_1_3_settings", BODY, [NEW, OLD], now=now()), **changed)

    def send(self, body: bytes, headers: dict[str, str], **changed: str) -> int:
        sent = headers | {f"webhook-{name}": value for name, value in changed.items()}
        return httpx.post(self.url, content=body, headers=sent, trust_env=False, timeout=10).status_code

    @property
    def stored(self) -> list[str]:
        return sorted(path.name for path in self.inbox.iterdir())


def now() -> int:
    return round(time.time() * 1000)


@pytest.fixture(scope="module", params=["python", "node"])
def command(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "python":
        return [sys.executable, str(EXAMPLES / "verify_notification.py")]
    node = shutil.which("node")
    if node is None:  # Renderhook needs none; where CI runs, it is a fault
        assert not os.environ.get("CI"), "node is not installed; .ci/run installs it"
        pytest.skip("node is not installed: the JavaScript example cannot be run")
    return [node, str(EXAMPLES / "verify_notification.mjs")]


@pytest.fixture
def consumer(command: list[str], tmp_path: Path) -> Iterator[Consumer]:
    yield from run(command, tmp_path, SECRET)


def run(command: list[str], folder: Path, secret: str) -> Iterator[Consumer]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = {"NOTIFY_SECRET": secret, "PORT": str(port), "INBOX": str(folder / "inbox")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 20
        while not reachable(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, "it is not listening"
            time.sleep(0.05)
        yield Consumer(f"http://127.0.0.1:{port}/hooks", folder / "inbox")
    finally:
        process.terminate()
        process.wait(10)


def reachable(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_a_consumer_accepts_what_the_notifier_signs_and_stores_it_once(consumer: Consumer) -> None:
    assert [consumer.deliver(), consumer.deliver()] == [204, 204]
    assert consumer.stored == ["msg_1_3_settings.json"]
    assert (consumer.inbox / "msg_1_3_settings.json").read_bytes() == BODY


def test_a_consumer_accepts_any_one_of_several_signatures(consumer: Consumer) -> None:
    headers = signed_headers("msg_2", BODY, [OLD, NEW], now=now())
    assert headers["webhook-signature"].count("v1,") == 2
    assert consumer.send(BODY, headers) == 204


def test_a_consumer_refuses_what_the_notifier_did_not_sign(consumer: Consumer) -> None:
    good = signed_headers("msg_1_3_settings", BODY, [NEW], now=now())
    assert consumer.send(BODY + b" ", good) == 401
    assert consumer.send(BODY, good, id="msg_1_3_other") == 401
    assert consumer.send(BODY, good, timestamp=str(int(good["webhook-timestamp"]) + 1)) == 401
    assert consumer.send(BODY, good, signature="v1,AAAA") == 401
    assert consumer.send(BODY, good, signature=good["webhook-signature"].replace("v1,", "v2,")) == 401
    assert consumer.send(BODY, good, id="../escape") == 401
    assert consumer.send(BODY, {}) == 401
    assert consumer.send(BODY, signed_headers("msg_1", BODY, [OLD], now=now())) == 401
    for seconds in (-310, 310):
        assert consumer.send(BODY, signed_headers("msg_1", BODY, [NEW], now=now() + seconds * 1000)) == 401
    assert consumer.stored == []


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA"])
def test_a_consumer_without_a_usable_secret_accepts_nothing(command: list[str], tmp_path: Path, secret: str) -> None:
    for consumer in run(command, tmp_path, secret):
        headers = signed_headers("msg_1", BODY, [b""], now=now())
        with contextlib.suppress(httpx.TransportError):  # Python's server closes the connection on an exception
            assert consumer.send(BODY, headers) == 500
        assert consumer.stored == []
