"""Every code block that a page marks as runnable is run, against a real receiver and the sandbox on loopback."""

import contextlib
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.documentation.pages import PAGES, QUICKSTART, RUN_PAGES, blocks, is_run, page
from tests.documentation.session import CONSUMER, RECEIVER, Session, reader
from tests.process.children import until

NOT_RUN = re.compile(r"make |\.venv/bin|git clone|systemctl|flyctl|fly |dokku |heroku |pip install")
"""Shell commands that no test runs: they install, or need a platform or another machine."""


REPLAY = "docs/how-to/replay-dead-letters.md"
INPUT = {"source_image_url": "https://example.com/face.jpg", "target_video_url": "https://example.com/clip.mp4"}


@contextlib.contextmanager
def answering(statuses: list[int]) -> Iterator[str]:
    """Serve an endpoint that answers with these statuses in turn, and then with the last one."""

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    assert shutil.which("curl"), "curl is not installed: the examples of the documentation need it"
    with reader(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("name", RUN_PAGES)
def test_the_examples_of_a_page_run(name: str, session: Session) -> None:
    session.run_page(name)
    jobs = httpx.get(f"{session.url(RECEIVER)}/v1/jobs", trust_env=False).json()["jobs"]
    if any("v1/jobs" in block.text or "renderhook fal" in block.text for block in blocks(name) if is_run(block)):
        assert jobs
    if jobs and re.search(rf"NOTIFY_URL=\S*{CONSUMER}", page(name)):
        until("a completed job is delivered", lambda: "job.completed" in session.log("consumer"))


def test_the_replay_example_replays_a_dead_letter(session: Session) -> None:
    for block in blocks(QUICKSTART):
        if block.label.startswith("terminal="):
            session.run(block)
    url = session.url(RECEIVER)
    with answering([410, 204]) as endpoint:
        job = {"provider": "heygen", "model": "FaceswapNode", "input": INPUT, "notify": [endpoint]}
        httpx.post(f"{url}/v1/jobs", json=job, trust_env=False).raise_for_status()

        def number(state: str) -> int:
            return len(httpx.get(f"{url}/v1/deliveries?state={state}", trust_env=False).json()["deliveries"])

        until("the deliveries are dead", lambda: number("dead") == 2)
        for block in blocks(REPLAY):
            if is_run(block):
                session.run(block)
        until("they are delivered", lambda: number("dead") == number("pending") == 0)
        assert "delivery.filter_replayed" in session.log("receiver")


@pytest.mark.parametrize("name", RUN_PAGES)
def test_a_terminal_activates_the_environment_before_it_runs_python(name: str) -> None:
    active = set()
    for block in blocks(name):
        if block.language == "sh" and is_run(block):
            active |= {block.label} if ". .venv/bin/activate" in block.text else set()
            assert block.label in active or not re.search(r"\bpython ", block.text), block.text


def test_the_readme_and_the_quickstart_have_examples() -> None:
    assert {"README.md", "docs/quickstart.md"} <= set(RUN_PAGES)


@pytest.mark.parametrize("name", [name for name in PAGES if name == "README.md" or "how-to" in name])
def test_shell_and_python_of_a_how_to_are_run_unless_they_cannot_be(name: str) -> None:
    left_out = [block.text for block in blocks(name) if block.language == "sh" and not is_run(block)]
    assert [text for text in left_out if not NOT_RUN.search(text)] == []
