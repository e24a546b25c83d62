"""The rooms and their doors: who may import whom, where SQL lives, how long things get, what no file may name.

Each check is a plain function that returns what is wrong: run on this repository, and on bad samples it must catch.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("ledger", "providers", "receiver", "submitter", "sandbox")
LONGEST_FILE = 300  # the design aims at 250
LONGEST_FUNCTION = 60  # the design aims at 40
SAY_NOTHING = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "core"}
MAY_SPEAK_SQL = (
    "ledger/copying",  # takes whole tables from one database to another
    "ledger/storage/migrations.py",  # reads which migrations have run, before any statement of ours can be
    "ledger/postgres/connections.py",  # opens the database: its sessions' settings
    "ledger/copying/target.py",  # as ledger/copying
    "ledger/postgres/migrate.py",  # as ledger/storage/migrations.py
    "ledger/postgres/wakeups.py",  # LISTEN and NOTIFY
    "ledger/postgres/transactions.py",  # begins and ends them
    "ledger/sqlite/store.py",  # opens the file: pragmas
    "sandbox/demo/run.py",  # prints what was recorded from the file itself
    "tests/",  # look for themselves
)


def repository_files() -> list[str]:
    """Every file that is or would be committed, found without git where there is no checkout (an unpacked archive)."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        ours = (*ROOMS, "tests", "docs", ".ci")
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


CODE = tuple(f"{room}/" for room in (*ROOMS, "tests"))

# --- who may import whom --------------------------------------------------------------------------------------------

LINT = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache', '--no-logo'])"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False)


def test_imports_follow_the_arrows() -> None:
    told = lint_imports(ROOT)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.fixture
def empty_rooms(tmp_path: Path) -> Path:
    """The same rooms with nothing in them but the one import that composes the process, under the same contracts."""
    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    for room in ROOMS:
        (tmp_path / room).mkdir()
        for module in ("__init__", "records", "process", "demo", "other"):
            (tmp_path / room / f"{module}.py").touch()
    (tmp_path / "receiver/process.py").write_text("import submitter.other\n")
    return tmp_path


ALLOWED = """\
providers/other.py: from ledger.records import anything
receiver/other.py: import providers.other, ledger.other
submitter/other.py: import providers.other, ledger.other
sandbox/other.py: import providers.other, ledger.other
ledger/other.py: import sqlite3, aiosqlite, psycopg, psycopg_pool
sandbox/demo/run.py: import sqlite3
"""

REFUSED = """\
ledger imports none of ours <- ledger/other.py: import providers.other
ledger imports none of ours <- ledger/records.py: from receiver import other
providers imports only the records of ledger <- providers/other.py: import ledger.other
providers imports only the records of ledger <- providers/other.py: import submitter
nothing imports receiver <- submitter/other.py: import receiver.other
nothing imports receiver <- sandbox/other.py: import receiver
submitter is imported only where the process is composed <- receiver/other.py: import submitter.other
submitter imports neither receiver nor sandbox <- submitter/other.py: import sandbox.other
nothing imports sandbox <- receiver/process.py: import sandbox.other
sandbox imports neither receiver nor submitter <- sandbox/demo/run.py: import submitter.other
only ledger opens a database <- receiver/other.py: import sqlite3
only ledger opens a database <- sandbox/other.py: import sqlite3
only ledger opens a database <- submitter/other.py: from aiosqlite import connect
only ledger opens a database <- receiver/other.py: import psycopg
only ledger opens a database <- providers/other.py: from psycopg_pool import AsyncConnectionPool
only ledger opens a database <- sandbox/demo/run.py: import psycopg
"""


def add(rooms: Path, sample: str) -> None:
    path, line = sample.split(": ")
    with (rooms / path).open("a") as module:
        module.write(f"{line}\n")


def test_the_arrows_allow_what_the_design_allows(empty_rooms: Path) -> None:
    for sample in ALLOWED.splitlines():
        add(empty_rooms, sample)
    told = lint_imports(empty_rooms)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("line", REFUSED.splitlines())
def test_the_arrows_refuse(line: str, empty_rooms: Path) -> None:
    contract, sample = line.split(" <- ")
    add(empty_rooms, sample)
    told = lint_imports(empty_rooms)
    assert told.returncode == 1
    assert f"{contract} BROKEN" in told.stdout


# --- where SQL lives ------------------------------------------------------------------------------------------------

STATEMENT = re.compile(
    r"\b(SELECT|INSERT( OR \w+)? INTO|UPDATE|DELETE FROM|(CREATE|ALTER|DROP) (TABLE|INDEX|VIEW|TRIGGER)|PRAGMA)\s"
    r"|(?i:^\s*(select \*|insert into|update \w+ set|delete from|pragma) )"
)


def sql_in_python(path: str, source: str) -> list[str]:
    """Strings that speak SQL. Documentation may talk about an UPDATE; it is not sent to a database."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in said]
    return [f"{path}:{node.lineno}" for node in strings if isinstance(node.value, str) and STATEMENT.search(node.value)]


def test_sql_lives_in_the_sql_files_of_the_ledger() -> None:
    elsewhere = [(path, text) for path, text in texts(".py") if not path.startswith(MAY_SPEAK_SQL)]
    assert [found for path, text in elsewhere for found in sql_in_python(path, text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "db.execute('SELECT id FROM jobs')",
        "q = f'SELECT {column} FROM jobs'",
        "q = '''\n  INSERT INTO jobs VALUES (1)'''",
        "q = 'INSERT OR IGNORE INTO jobs VALUES (1)'",
        "q = 'UPDATE jobs SET state = ' + state",
        "q = 'DELETE FROM jobs'",
        "q = 'PRAGMA synchronous=OFF'",
        "q = 'CREATE TABLE jobs (id)'",
        "q = 'update jobs set state = 1'",
        "q = 'insert into jobs values (1)'",
    ],
)
def test_sql_elsewhere_is_found(line: str) -> None:
    assert sql_in_python("receiver/web/app.py", line)


@pytest.mark.parametrize("line", ["'''The UPDATE that moves it.'''", "say('Select one from the list, update it')"])
def test_prose_is_not_sql(line: str) -> None:
    assert not sql_in_python("receiver/web/app.py", line)


# --- how long things get, and what they are called ------------------------------------------------------------------


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


def says_nothing(path: str) -> bool:
    return any(not SAY_NOTHING.isdisjoint(Path(part).stem.lower().split("_")) for part in Path(path).parts)


def test_names_say_something() -> None:
    assert [path for path in repository_files() if path.endswith(".py") and says_nothing(path)] == []


def test_names_that_say_nothing_are_found() -> None:
    bad = ["ledger/utils.py", "receiver/helpers/urls.py", "tests/common.py", "submitter/job_manager.py", "core/a.py"]
    assert [path for path in bad if not says_nothing(path)] == []
    assert not says_nothing("receiver/score.py")


# --- what no file may name ------------------------------------------------------------------------------------------

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


# --- how it is started ----------------------------------------------------------------------------------------------


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
