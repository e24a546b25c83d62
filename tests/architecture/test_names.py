"""What no file may name, and what the Procfile starts."""

import re

import pytest

from tests.architecture.repository import ROOT, texts

# Neither pattern is found by itself, so this file passes too.
REGISTRIES = re.compile(r"pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org")
MACHINE_PATHS = re.compile(r"""(?<![\w.~/:})\]$-])/(?:home|root|work)(?![\w.-])(?=/|["'`\s),;:]|$)""", re.MULTILINE)


def machine_names(path: str, text: str) -> list[str]:
    """A registry's host, or a path of the machine somebody worked on: wrong on every other machine."""
    places = [*REGISTRIES.finditer(text), *MACHINE_PATHS.finditer(text)]
    lines = [text.count("\n", 0, place.start()) + 1 for place in places]
    return [f"{path}:{line} {place.group()}" for line, place in zip(lines, places, strict=True)]


def test_no_file_names_a_registry_or_a_machine() -> None:
    assert [found for path, text in texts() for found in machine_names(path, text)] == []


@pytest.mark.parametrize("host", ["pypi", "files.pythonhosted", "registry.npmjs"])
def test_registries_are_found(host: str) -> None:
    assert machine_names("a.txt", f"\n--index-url https://{host}.org/simple\n") == [f"a.txt:2 {host}.org"]


@pytest.mark.parametrize("top", ["home", "root", "work"])
def test_machine_paths_are_found(top: str) -> None:
    assert machine_names("a.md", f"see\n/{top}/somebody/notes.md") == [f"a.md:2 /{top}"]
    assert machine_names("a.py", f'open("/{top}/x")')
    assert machine_names("a.py", f"cd /{top}")
    assert not machine_names("a.md", f"https://example.com/{top}/x, ./{top}/x, docs/{top}/x, /{top}er")


def procfile_faults(text: str) -> list[str]:
    """A PaaS starts one process that migrates, serves and works, and on Postgres as many as wanted that only work."""
    started = dict(line.split(": ", 1) for line in text.splitlines() if line)
    wanted = {"web": "python -m receiver", "worker": "python -m submitter work"}
    return [] if started == wanted else [f"Procfile starts {started}"]


def test_the_procfile_starts_what_serves_and_what_only_works() -> None:
    assert procfile_faults((ROOT / "Procfile").read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["", "web: python -m receiver\n", "web: uvicorn receiver:app\n", "web: python -m receiver\nworker: python -m x\n"],
)
def test_another_procfile_is_found(text: str) -> None:
    assert procfile_faults(text)
