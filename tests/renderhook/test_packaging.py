"""What a wheel of this project contains, as pyproject.toml says."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")


def test_every_package_is_in_the_wheel_and_checked_by_every_tool() -> None:
    assert SETUPTOOLS["packages"]["find"]["include"] == [f"{package}*" for package in PACKAGES]
    assert PYPROJECT["tool"]["mypy"]["packages"] == [*PACKAGES, "tests"]
    assert PYPROJECT["tool"]["coverage"]["run"]["source"] == PACKAGES
    assert PYPROJECT["tool"]["vulture"]["paths"] == PACKAGES


def test_every_file_that_is_not_python_is_in_the_wheel() -> None:
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*.*") if path.is_file()}
    patterns = SETUPTOOLS["package-data"].items()
    included = {path for package, globs in patterns for glob in globs for path in (ROOT / package).glob(glob)}
    assert {path for path in files - included if path.suffix not in {".py", ".pyc"}} == set()
