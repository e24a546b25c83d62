"""How long files, functions and lines get, how many modules stand in a folder, and what modules are called."""

import ast
import re
from collections import Counter
from pathlib import Path

from tests.architecture.repository import CODE, PACKAGES, repository_files, texts

LONGEST_FILE = 300  # the design aims at 250
LONGEST_FUNCTION = 60  # the design aims at 40
LONGEST_LINE = 120
MOST_MODULES = 12
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "core"}


def crowded(paths: list[str]) -> list[str]:
    """Folders with more modules than a reader takes in at once; `__init__` and `__main__` do not count."""
    modules = Counter(
        str(Path(path).parent) for path in paths if path.endswith(".py") and not Path(path).name.startswith("__")
    )
    return [f"{folder}: {number} modules" for folder, number in modules.items() if number > MOST_MODULES]


def test_no_folder_is_crowded() -> None:
    assert crowded([path for path in repository_files() if path.startswith(tuple(f"{p}/" for p in PACKAGES))]) == []


def test_a_crowded_folder_is_found() -> None:
    paths = ["ledger/__init__.py", *(f"ledger/module_{number}.py" for number in range(MOST_MODULES))]
    assert crowded(paths) == []
    assert crowded([*paths, "ledger/one_more.py"]) == [f"ledger: {MOST_MODULES + 1} modules"]


def too_long(path: str, source: str) -> list[str]:
    """A file, or a function in it, that no longer fits in the head."""
    lines = source.count("\n")
    found = [f"{path}: {lines} lines"] if lines > LONGEST_FILE else []
    for node in ast.walk(ast.parse(source)) if path.endswith(".py") else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                found.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    return found


def test_files_and_functions_stay_short() -> None:
    assert [found for path, text in texts(".py", ".sql", under=CODE) for found in too_long(path, text)] == []


def test_long_files_and_functions_are_found() -> None:
    body = "    pass\n" * LONGEST_FUNCTION
    assert too_long("a.py", "x = 1\n" * LONGEST_FILE) == []
    assert too_long("a.py", "x = 1\n" * (LONGEST_FILE + 1)) == ["a.py: 301 lines"]
    assert too_long("a.sql", "--\n" * (LONGEST_FILE + 1)) == ["a.sql: 301 lines"]
    assert too_long("a.py", f"class A:\n  async def f():\n{body}") == ["a.py:2 f: 61 lines"]
    assert too_long("a.py", "def f():\n" + "    pass\n" * (LONGEST_FUNCTION - 1)) == []


def long_lines(path: str, text: str) -> list[str]:
    """Lines that are too long, of SQL and of prose. A table's row and a lone link cannot be wrapped."""
    wrapped = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if not (path.endswith(".md") and (line.lstrip().startswith("|") or re.search(r"^\W*\S+$", line)))
    ]
    return [f"{path}:{number}: {len(line)} characters" for number, line in wrapped if len(line) > LONGEST_LINE]


def test_lines_of_sql_and_documentation_are_short() -> None:
    assert [found for path, text in texts(".sql", ".md") for found in long_lines(path, text)] == []


def test_long_lines_are_found() -> None:
    assert long_lines("a.sql", "SELECT 1;\n" + "-- " + "x " * 60) == ["a.sql:2: 123 characters"]
    assert long_lines("a.md", "a " * 61) == ["a.md:1: 122 characters"]
    assert long_lines("a.md", f"| {'a ' * 61} |\n<https://example.com/{'a' * 120}>") == []


def has_empty_name(path: str) -> bool:
    return any(not EMPTY_NAMES.isdisjoint(Path(part).stem.lower().split("_")) for part in Path(path).parts)


def test_module_names_say_what_is_in_them() -> None:
    assert [path for path in repository_files() if path.endswith(".py") and has_empty_name(path)] == []


def test_empty_names_are_found() -> None:
    bad = ["ledger/utils.py", "receiver/helpers/urls.py", "tests/common.py", "submitter/job_manager.py", "core/a.py"]
    assert [path for path in bad if not has_empty_name(path)] == []
    assert not has_empty_name("receiver/score.py")
