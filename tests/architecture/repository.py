"""The files of the repository, for the tests that hold its structure."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "ledger",
    "outbound",
    "providers",
    "receiver",
    "renderhook",
    "sandbox",
    "settings",
    "submitter",
    "telemetry",
    "work",
)


def repository_files() -> list[str]:
    """Every file that is or would be committed, found without git where there is no checkout (an unpacked archive)."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        ours = (*PACKAGES, "tests", "docs", ".ci")
        inside = [path for room in ours for path in (ROOT / room).rglob("*") if "__pycache__" not in path.parts]
        listed = [str(path.relative_to(ROOT)) for path in [*ROOT.glob("*"), *inside]]
    return sorted(path for path in listed if path and (ROOT / path).is_file())


def texts(*suffixes: str, under: tuple[str, ...] = ("",)) -> Iterator[tuple[str, str]]:
    """Path and text of each file with one of the suffixes (any, when none is named), leaving out what is not text."""
    for path in repository_files():
        if path.startswith(under) and (not suffixes or path.endswith(suffixes)):
            try:
                yield path, (ROOT / path).read_text("utf-8")
            except UnicodeDecodeError:
                continue


CODE = tuple(f"{room}/" for room in (*PACKAGES, "tests"))
