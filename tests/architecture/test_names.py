"""What no file may name, and what the Procfile starts."""

import re

import pytest

from tests.architecture.repository import ROOT, texts

# Neither pattern is found by itself, so this file passes too.
REGISTRIES = re.compile(r"pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org")
MACHINE_PATHS = re.compile(r"""(?<![\w.~/:})\]$-])/(?:home|root|work)(?![\w.-])(?=/|["'`\s),;:]|$)""", re.MULTILINE)


def machine_names(path: str, text: str) -> list[str]:
    """Return the hosts of registries and the paths of a developer's machine in a text."""
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


def test_the_procfile_starts_modules_that_exist() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    commands = dict(line.split(": ", 1) for line in lines if line)
    assert commands.keys() == {"web", "worker"}
    modules = [re.fullmatch(r"python -m (\w+)(?: \w+)*", command) for command in commands.values()]
    assert [module for module in modules if not module or not (ROOT / module[1] / "__main__.py").is_file()] == []
