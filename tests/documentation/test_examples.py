"""Every code block that a page marks as runnable is run, against a real receiver and the sandbox on loopback."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.documentation.pages import PAGES, RUN_PAGES, blocks, is_run, page
from tests.documentation.session import CONSUMER, RECEIVER, Session, reader
from tests.process.children import until

NOT_RUN = re.compile(r"make |\.venv/bin|git clone|systemctl|flyctl|fly |dokku |heroku |pip install")
"""Shell commands that no test runs: they install, or need a platform or another machine."""


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


def test_the_readme_and_the_quickstart_have_examples() -> None:
    assert {"README.md", "docs/quickstart.md"} <= set(RUN_PAGES)


@pytest.mark.parametrize("name", [name for name in PAGES if name == "README.md" or "how-to" in name])
def test_shell_and_python_of_a_how_to_are_run_unless_they_cannot_be(name: str) -> None:
    left_out = [block.text for block in blocks(name) if block.language == "sh" and not is_run(block)]
    assert [text for text in left_out if not NOT_RUN.search(text)] == []
