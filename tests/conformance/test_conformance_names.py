"""A provider is named in its own folder and in the list of built-in ones: adding one changes no other module."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.subjects import SUBJECTS

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "outbound", "providers", "receiver", "settings", "submitter", "telemetry", "work")
EXCEPT = {
    ROOT / "providers/registry.py",  # the list of built-in providers
}
NAMED = re.compile("|".join(rf"\b{each.name}(\b|_)" for each in SUBJECTS), re.IGNORECASE)


def names_in(path: Path) -> Iterator[str]:
    """Yield imports and strings that name a provider. Docstrings and comments may name one as an example."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        found = node.module if isinstance(node, ast.ImportFrom) else None
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            found = node.value
        if found and NAMED.search(found):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {found}"


def test_no_module_outside_a_providers_folder_names_it() -> None:
    folders = [ROOT / "providers" / each.name for each in SUBJECTS]
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path not in EXCEPT]
    outside = [path for path in modules if not any(path.is_relative_to(folder) for folder in folders)]
    assert [name for path in outside for name in names_in(path)] == []


def test_no_statement_names_a_provider() -> None:
    assert [path.name for path in (ROOT / "ledger").rglob("*.sql") if NAMED.search(path.read_text())] == []
