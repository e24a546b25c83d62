"""The program's commands, version and help, and what it imports for them."""

import re
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest
from click.testing import CliRunner

from renderhook.cli import main
from sandbox.demo.processes import free_port
from telemetry.version import VERSION
from tests.renderhook.processes import API_KEY, CLEAN, ROOT, Ran, RunningReceiver, run

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WEB = {"httpx", "aiohttp", "starlette", "uvicorn"}
OURS = {"ledger.ledger", "receiver", "submitter", "sandbox"}
IMPORTED = """
import sys
from renderhook.cli import main
try:
    main()
finally:
    print(*sys.modules)
"""


def program(*words: str, module: str = "renderhook", **environment: str) -> Ran:
    return run(sys.executable, "-m", module, *words, **CLEAN, **environment)


def imported(*words: str, **environment: str) -> set[str]:
    """The modules that the program has imported when it ends."""
    done = run(sys.executable, "-c", IMPORTED, *words, **CLEAN, **environment)
    return set(done.out.splitlines()[-1].split())


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("--version",)])
def test_help_and_version_import_neither_http_nor_the_web_stack(words: tuple[str, ...]) -> None:
    assert imported(*words) & (WEB | OURS | {"sqlite3", "rich"}) == set()


def test_a_command_for_jobs_does_not_open_the_database(receiver: RunningReceiver, tmp_path: Path) -> None:
    database = tmp_path / "never.db"
    environment = {"RENDERHOOK_URL": receiver.url, "API_KEY": API_KEY, "DATABASE_URL": f"sqlite:///{database}"}
    modules = imported("fal", "sandbox/any", "x=1", "--wait", **environment)
    assert "httpx" in modules
    assert modules & ({"sqlite3", "_sqlite3", "aiosqlite", "starlette", "uvicorn"} | OURS) == set()
    assert not database.exists()


def install(folder: Path, code: str) -> str:
    """Install a distribution with the provider toy, whose module has `code`; returns the folder to import from."""
    installed = folder / "toy_provider-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-provider\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[renderhook.providers]\ntoy = toy:PROVIDER\n")
    (folder / "toy.py").write_text(code)
    return str(folder)


FAL_AS_TOY = """
from types import SimpleNamespace
from providers.fal.provider import PROVIDER as FAL
from providers.provider import MEMBERS
PROVIDER = SimpleNamespace(**{name: getattr(FAL, name) for name in MEMBERS} | {"name": "toy"} | CHANGED)
"""
BROKEN = [
    ("import no_such_module", "importing it raised ModuleNotFoundError: No module named 'no_such_module'"),
    ("raise SystemExit(0)", "importing it raised SystemExit: 0"),
    ("raise SystemExit", "importing it raised SystemExit: without a message"),
    ("raise KeyError('two\\nlines')", "importing it raised KeyError: 'two\\nlines'"),
    ("CHANGED = {'settings': None}" + FAL_AS_TOY, "its settings have to be a Struct that declares them, not None"),
    ("def fail(*_): raise OSError('no such key: the-fal-key')\nCHANGED = {'open': fail}" + FAL_AS_TOY,
     "open raised OSError: no such key: ***"),
    ("def fail(*_): raise SystemExit\nCHANGED = {'webhook': fail}" + FAL_AS_TOY,
     "webhook raised SystemExit: without a message"),
    ("CHANGED = {'open': lambda *_: object()}" + FAL_AS_TOY, "its account has no calls_back, poll_interval, "),
]  # fmt: skip


@pytest.mark.parametrize(("code", "fault"), BROKEN, ids=range(len(BROKEN)))
def test_a_provider_that_cannot_be_used_ends_the_start_with_one_line(code: str, fault: str, tmp_path: Path) -> None:
    folder = install(tmp_path, code)
    database = f"sqlite:///{tmp_path / 'never.db'}"
    environment = {"PYTHONPATH": folder, "FAL_KEY": "the-fal-key", "HOST": "127.0.0.1", "DATABASE_URL": database}
    done = program("serve", PORT=str(free_port()), **environment)
    assert (done.code, done.out) == (1, "")
    [line] = done.err.splitlines()
    assert line.startswith(f"renderhook: the provider toy (toy:PROVIDER of toy-provider 1.0): {fault}")
    assert not (tmp_path / "never.db").exists()


def test_a_provider_that_cannot_be_used_hides_no_other_fault(tmp_path: Path) -> None:
    done = program("serve", PYTHONPATH=install(tmp_path, "raise SystemExit"), HOST="127.0.0.1", PORT="x", FAL_KEY="a b")
    assert done.code == 1
    assert [line.split(":")[1].split()[0] for line in done.err.splitlines()] == ["PORT", "the", "FAL_KEY"]


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("jobs", "--help"), ("toy", "--help"), ("fal", "-h")])
def test_help_needs_no_provider(words: tuple[str, ...], tmp_path: Path) -> None:
    shown = program(*words, PYTHONPATH=install(tmp_path, "raise SystemExit(3)"))
    assert (shown.code, shown.err) == (0, "")
    if words == ("--help",):
        assert re.search(r"^  toy +Submit a job to toy\.$", shown.out, re.MULTILINE)


def test_without_a_command_it_prints_help() -> None:
    done = program()
    assert (done.code, done.err) == (0, "")
    assert done.out == program("--help").out == program("-h").out


COMMANDS = [
    "serve",
    "work",
    "migrate",
    "restored",
    "copy",
    "sandbox",
    "demo",
    "jobs",
    "status",
    "wait",
    "fal",
    "heygen",
]


def test_help_lists_every_command() -> None:
    listed = program("--help").out.partition("Commands:\n")[2]
    assert re.findall(r"^  (\S+)", listed, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = CliRunner().invoke(main, [command, "-h"], prog_name="renderhook")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: renderhook {command} ")


def test_an_unknown_command_exits_2() -> None:
    done = program("nonsense")
    assert (done.code, done.out) == (2, "")
    assert "No such command 'nonsense'" in done.err


@pytest.mark.parametrize(
    ("module", "words"),
    [("renderhook", ["serve"]), ("receiver", []), ("receiver", ["serve"]), ("receiver", ["migrate"])]
    + [(module, ["work"]) for module in ("renderhook", "receiver", "submitter")],
)
def test_a_wrong_setting_is_one_clear_error_of_every_server_command(module: str, words: list[str]) -> None:
    done = program(*words, module=module, HOST="127.0.0.1", PORT="not a port")
    assert (done.code, done.out) == (1, "")
    [line] = done.err.splitlines()
    assert line.startswith("renderhook: PORT: ")


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert program("--version").out == f"renderhook {VERSION}\n"


def test_the_wheel_takes_its_version_from_the_package() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert resolve_name(PYPROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"]) == VERSION
