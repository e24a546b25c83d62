"""The documentation is held to what it speaks of: settings, states, events, routes, links, and the examples, run."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ledger.records import JobState, RecordResult
from ledger.storage.migrations import migrations
from ledger.storage.statements import statements
from receiver.notifier.signatures import signed_headers
from sandbox.faults import FAULTS

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs/examples"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


# --- words ----------------------------------------------------------------------------------------------------------


def event_types() -> list[str]:
    """Every event that the schema takes."""
    text = "".join(migration.text for migration in migrations())
    return sorted(set(re.findall(r"'(job\.[a-z]+)'", text)))


def test_there_are_events_to_look_for() -> None:
    assert {"job.accepted", "job.completed"} <= set(event_types())


@pytest.mark.parametrize("name", ["docs/states.md", "docs/api.md"])
@pytest.mark.parametrize("event", event_types())
def test_every_event_is_told_of(name: str, event: str) -> None:
    assert f"`{event}`" in page(name)


@pytest.mark.parametrize("state", [*JobState, "pending", "delivered", "dead", "discarded"])
def test_every_state_has_its_row(state: str) -> None:
    assert f"\n| `{state}` |" in page("docs/states.md")


@pytest.mark.parametrize("result", list(RecordResult))
def test_every_result_of_a_report_is_told_of(result: str) -> None:
    assert f"`{result}`" in page("docs/states.md")


def test_every_statement_that_is_named_exists() -> None:
    arrows = re.findall(r"^\s+\S+ --> \S+: (.+)$", page("docs/states.md"), re.MULTILINE)
    named = {word for label in arrows for word in re.findall(r"\w+", label)}
    assert arrows
    assert named - set(statements()) == set()


def test_every_statement_that_moves_a_state_is_an_arrow() -> None:
    moves = {
        name
        for name, statement in statements().items()
        if re.search(r"INSERT INTO (jobs|deliveries)\b|UPDATE (jobs|deliveries)\s+SET state", statement.text)
    }
    arrows = " ".join(re.findall(r"^\s+\S+ --> \S+: (.+)$", page("docs/states.md"), re.MULTILINE))
    assert {name for name in moves if name not in arrows.split()} == set()


def test_faults_that_are_told_of_exist() -> None:
    told = {name for path in PAGES for name in re.findall(r"#fault=([a-z0-9-]+)", path.read_text("utf-8"))}
    assert told - set(FAULTS) == set()


# --- links ----------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    """The headings of a page, as a code host names them."""
    prose = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert list(broken_links(path)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    note = tmp_path / "a.md"
    note.write_text("# Here\n[a](b.md) [b](#there) [c](#here) [d](https://example.com/x) [e](a.md#here)\n")
    assert list(broken_links(note)) == ["b.md", "#there"]


NAMED_FILE = re.compile(r"(?<![\w/])(?:tests|ledger|receiver|submitter|providers|sandbox)/[\w/]+\.(?:py|sql)")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path: Path) -> None:
    named = set(NAMED_FILE.findall(path.read_text("utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


# --- the examples, run ----------------------------------------------------------------------------------------------

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = "whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
"""NEW, as NOTIFY_SECRET has it."""

BODY = b'{"type":"job.completed","timestamp":"2026-01-01T00:00:00.000Z","data":{"job":{"id":"job_1","outputs":[]}}}'


@pytest.mark.parametrize(
    ("language", "file"), [("python", "verify_notification.py"), ("js", "verify_notification.mjs")]
)
def test_the_readme_has_the_examples_as_they_are(language: str, file: str) -> None:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", page("README.md"), re.MULTILINE | re.DOTALL)
    assert (EXAMPLES / file).read_text("utf-8") in blocks


class Example:
    """An example that is running, and where it keeps what it took."""

    def __init__(self, url: str, inbox: Path) -> None:
        self.url = url
        self.inbox = inbox

    def tell(self, body: bytes = BODY, **changed: str) -> int:
        return self.send(body, signed_headers("msg_1_3_settings", BODY, [NEW, OLD], now=now()), **changed)

    def send(self, body: bytes, headers: dict[str, str], **changed: str) -> int:
        told = headers | {f"webhook-{name}": value for name, value in changed.items()}
        return httpx.post(self.url, content=body, headers=told, trust_env=False, timeout=10).status_code

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.inbox.iterdir())


def now() -> int:
    return round(time.time() * 1000)


@pytest.fixture(scope="module", params=["python", "node"])
def command(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "python":
        return [sys.executable, str(EXAMPLES / "verify_notification.py")]
    node = shutil.which("node")
    if node is None:
        assert not os.environ.get("CI"), "node is not installed, and .ci/run should have seen to it"
        pytest.skip("node is not installed: the JavaScript example cannot be run")
    return [node, str(EXAMPLES / "verify_notification.mjs")]


@pytest.fixture
def example(command: list[str], tmp_path: Path) -> Iterator[Example]:
    yield from run(command, tmp_path, SECRET)


def run(command: list[str], folder: Path, secret: str) -> Iterator[Example]:
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
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.05)
        yield Example(f"http://127.0.0.1:{port}/hooks", folder / "inbox")
    finally:
        process.terminate()
        process.wait(10)


def reachable(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_an_example_takes_what_we_sign_and_keeps_it_once(example: Example) -> None:
    assert [example.tell(), example.tell()] == [204, 204]
    assert example.kept == ["msg_1_3_settings.json"]
    assert (example.inbox / "msg_1_3_settings.json").read_bytes() == BODY


def test_an_example_takes_any_of_several_signatures(example: Example) -> None:
    headers = signed_headers("msg_2", BODY, [OLD, NEW], now=now())
    assert headers["webhook-signature"].count("v1,") == 2
    assert example.send(BODY, headers) == 204


def test_an_example_refuses_what_we_did_not_sign(example: Example) -> None:
    good = signed_headers("msg_1_3_settings", BODY, [NEW], now=now())
    assert example.send(BODY + b" ", good) == 401
    assert example.send(BODY, good, id="msg_1_3_other") == 401
    assert example.send(BODY, good, timestamp=str(int(good["webhook-timestamp"]) + 1)) == 401
    assert example.send(BODY, good, signature="v1,AAAA") == 401
    assert example.send(BODY, good, signature=good["webhook-signature"].replace("v1,", "v2,")) == 401
    assert example.send(BODY, good, id="../escape") == 401
    assert example.send(BODY, {}) == 401
    assert example.send(BODY, signed_headers("msg_1", BODY, [OLD], now=now())) == 401
    for seconds in (-310, 310):
        assert example.send(BODY, signed_headers("msg_1", BODY, [NEW], now=now() + seconds * 1000)) == 401
    assert example.kept == []


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA"])
def test_an_example_without_a_usable_secret_takes_nothing(command: list[str], tmp_path: Path, secret: str) -> None:
    for example in run(command, tmp_path, secret):
        headers = signed_headers("msg_1", BODY, [b""], now=now())
        with contextlib.suppress(httpx.TransportError):  # Python's server hangs up on a internal_error of its own
            assert example.send(BODY, headers) == 500
        assert example.kept == []
