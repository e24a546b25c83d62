"""The lock and the wish agree: the requirements files pin what pyproject.toml asks for, with hashes, and no more."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: ; [^\\]+?)?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)


def wishes(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for: always, and for each extra named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    return [Requirement(line) for line in asked]


def read_pins(text: str) -> dict[str, str]:
    """Name to version. Raises on a line that is anything but a comment or one exact version with its hashes."""
    pins: dict[str, str] = {}
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        if line and not line.startswith("#"):
            pin = PIN.fullmatch(line)
            if pin is None:
                raise ValueError(f"not a pin with hashes: {line}")
            pins[canonicalize_name(pin["name"])] = pin["version"]
    return pins


def unmet(asked: list[Requirement], pins: dict[str, str]) -> list[str]:
    """What is asked for and not pinned, or pinned outside its range."""
    pinned = [(wish, pins.get(canonicalize_name(wish.name))) for wish in asked]
    return [
        f"{wish} is pinned at {version}"
        for wish, version in pinned
        if version is None or not wish.specifier.contains(version, prereleases=True)
    ]


def unasked(asked: list[Requirement], pins: dict[str, str]) -> set[str]:
    """Return the pins that no requirement needs, directly or through other installed pins."""
    todo, reached = list(asked), set[tuple[str, frozenset[str]]]()
    while todo:
        wish = todo.pop()
        step = canonicalize_name(wish.name), frozenset(wish.extras)
        if step in reached or step[0] not in pins:
            continue
        reached.add(step)
        try:
            below = [Requirement(line) for line in requires(wish.name) or ()]
        except PackageNotFoundError:  # pinned for another system: what it needs, if anything, is not known here
            continue
        todo += [need for need in below if need.marker is None or wanted(need, wish.extras)]
    return set(pins) - {name for name, _ in reached}


def wanted(need: Requirement, extras: set[str]) -> bool:
    """Whether some system would want it: the lock is for all of them, so only the marker's extra is judged."""
    named = re.findall(r"extra == ['\"]([^'\"]+)['\"]", str(need.marker))
    return not named or not extras.isdisjoint(named)


FILES = {"requirements.txt": ("postgres",), "requirements-dev.txt": ("postgres", "dev")}


def pins_of(file: str) -> dict[str, str]:
    return read_pins((ROOT / file).read_text())


@pytest.mark.parametrize("file", FILES)
def test_every_wish_is_pinned_within_its_range(file: str) -> None:
    assert unmet(wishes(*FILES[file]), pins_of(file)) == [], "run: make lock"


@pytest.mark.parametrize("file", FILES)
def test_every_pin_is_required(file: str) -> None:
    assert unasked(wishes(*FILES[file]), pins_of(file)) == set(), "run: make lock"


def test_what_is_tested_is_what_is_deployed() -> None:
    deployed = pins_of("requirements.txt")
    assert {name: pins_of("requirements-dev.txt").get(name) for name in deployed} == deployed, "run: make lock"


@pytest.mark.parametrize("file", FILES)
def test_the_lock_names_no_place(file: str) -> None:
    """Where packages come from is the business of the machine that installs them."""
    assert re.findall(r"://|^ *-[^-]|^ *--(?!hash=)|\S*/\S*", (ROOT / file).read_text(), re.MULTILINE) == []


# --- each check, shown what it must not let through -----------------------------------------------------------------

HASH = "--hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    "line",
    [
        "click==8.1.0",
        "click>=8.1",
        f"click>=8.1 {HASH}",
        "click==8.1.0 --hash=sha256:00",
        "-e .",
        "--index-url x",
        "./a",
    ],
)
def test_a_line_that_is_no_pin_is_found(line: str) -> None:
    with pytest.raises(ValueError, match="not a pin"):
        read_pins(f"# made by a machine\nidna==3.20 \\\n    {HASH}\n{line}\n")


def test_a_pin_is_read_whole() -> None:
    text = f"Uv_Loop==0.23.0 ; sys_platform != 'win32' and x \\\n    {HASH} \\\n    {HASH}\nidna==3.20 {HASH}\n"
    assert read_pins(text) == {"uv-loop": "0.23.0", "idna": "3.20"}


def test_a_wish_without_its_pin_is_found() -> None:
    asked = [Requirement("click>=8.1,<9"), Requirement("uvicorn[standard]>=0.54")]
    assert unmet(asked, {"click": "8.5.1", "uvicorn": "0.54.0"}) == []
    assert unmet(asked, {"click": "8.5.1"}) == ["uvicorn[standard]>=0.54 is pinned at None"]
    assert unmet([Requirement("click")], {}) == ["click is pinned at None"]
    assert unmet(asked, {"click": "9.0", "uvicorn": "0.54.0"}) == ["click<9,>=8.1 is pinned at 9.0"]


def test_a_pin_without_a_wish_is_found() -> None:
    pins = {"uvicorn": "0", "click": "0", "h11": "0", "httptools": "0"}
    assert unasked([Requirement("uvicorn[standard]")], pins) == set()
    assert unasked([Requirement("uvicorn")], pins) == {"httptools"}
    assert unasked([Requirement("click")], pins) == {"uvicorn", "h11", "httptools"}
