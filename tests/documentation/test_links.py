"""Links between pages lead to a file and a heading that exist, every page is reachable, and named files exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.pages import PAGES, README, ROOT

NAMED_FILE = re.compile(
    r"(?<![\w/])(?:tests|ledger|receiver|submitter|providers|sandbox|work|outbound|telemetry|settings|renderhook)"
    r"/[\w/]+\.(?:py|sql)"
)


def prose_of(path: Path) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The headings of a page, as a code host names them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> list[str]:
    """The links of a page that lead to another file or heading of the repository."""
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(path)) if not re.match(r"[a-z]+:", link)]


def broken_links(path: Path) -> Iterator[str]:
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings_that_exist(name: str) -> None:
    assert list(broken_links(ROOT / name)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    note = tmp_path / "a.md"
    note.write_text("# Here\n[a](b.md) [b](#there) [c](#here) [d](https://example.com/x) [e](a.md#here)\n")
    assert list(broken_links(note)) == ["b.md", "#there"]


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / README]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.suffix == ".md" and path.is_file():
            seen.add(path)
            waiting += [(path.parent / link.partition("#")[0]).resolve() for link in links(path)]
    unreachable = {ROOT / name for name in PAGES} - seen
    assert {path for path in unreachable if path.parent.name != "decisions"} == set()


@pytest.mark.parametrize("name", PAGES)
def test_files_that_a_page_names_exist(name: str) -> None:
    if "decisions/0015" in name:  # superseded: it names the files of its time
        return
    named = set(NAMED_FILE.findall((ROOT / name).read_text("utf-8")))
    assert [each for each in sorted(named) if not (ROOT / each).is_file()] == []
