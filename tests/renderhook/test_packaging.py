"""What a wheel of this project contains, as pyproject.toml says."""

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")


def data_files(package: str) -> Iterator[str]:
    for path in sorted((ROOT / package).rglob("*")):
        if path.is_file() and path.suffix not in {".py", ".pyc"}:
            yield path.relative_to(ROOT / package).as_posix()


def test_every_package_is_in_the_wheel_and_checked_by_every_tool() -> None:
    assert SETUPTOOLS["packages"]["find"]["include"] == [f"{package}*" for package in PACKAGES]
    assert PYPROJECT["tool"]["mypy"]["packages"] == PACKAGES
    assert PYPROJECT["tool"]["vulture"]["paths"] == PACKAGES


def test_every_file_that_is_not_python_is_in_the_wheel() -> None:
    patterns = {package: SETUPTOOLS["package-data"].get(package, []) for package in PACKAGES}
    left_out = [
        f"{package}/{path}"
        for package in PACKAGES
        for path in data_files(package)
        if not any(fnmatch(path, pattern) for pattern in patterns[package])
    ]
    assert left_out == []


def test_every_pattern_of_data_files_matches_one() -> None:
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            assert any(fnmatch(path, pattern) for path in data_files(package)), f"{package}: {pattern}"
