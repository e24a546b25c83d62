"""The structure of the repository: who may import whom, where SQL lives, how long things get, what no file may name.

Each check is a function that returns what is wrong. It is run on this repository, and on samples it must catch.
"""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
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
LONGEST_FILE = 300  # the design aims at 250
LONGEST_FUNCTION = 60  # the design aims at 40
LONGEST_LINE = 120
MOST_MODULES = 12
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "core"}
MAY_CONTAIN_SQL = (
    "ledger/copying/",  # copies whole tables from one database to another
    "ledger/postgres/connections.py",  # session settings
    "ledger/postgres/migrate.py",  # reads which migrations were applied, before any statement of ours can be
    "ledger/postgres/transactions.py",  # begins and ends transactions
    "ledger/postgres/wakeups.py",  # LISTEN and NOTIFY
    "ledger/sqlite/migrate.py",  # as ledger/postgres/migrate.py
    "ledger/sqlite/store.py",  # pragmas
    "ledger/storage/migrations.py",  # as ledger/postgres/migrate.py
    "sandbox/demo/run.py",  # prints what was recorded from the file itself
    "tests/",  # read the database themselves
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

# --- who may import whom --------------------------------------------------------------------------------------------

LINT = "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache', '--no-logo'])"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False)


def test_imports_keep_every_contract() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


MODULES = """\
ledger: __init__ ledger records rows other
ledger/copying: __init__ copy
ledger/postgres: __init__ store
ledger/sqlite: __init__ store
ledger/storage: __init__ store
ledger/transitions: __init__ jobs
outbound: __init__ client other
providers: __init__ http provider registry
providers/fal: __init__ provider other
providers/heygen: __init__ provider
receiver: __init__ __main__ process other
renderhook: __init__ cli copy_command other
sandbox: __init__ other
sandbox/demo: __init__ run
settings: __init__ other
submitter: __init__ __main__ other
telemetry: __init__ other
work: __init__ other
"""

PRESENT = """\
receiver/__main__.py: import renderhook.cli
submitter/__main__.py: import renderhook.cli
receiver/process.py: import submitter.other
"""


@pytest.fixture
def empty_packages(tmp_path: Path) -> Path:
    """The same packages without code, but for the imports that the contracts name, under the same contracts."""
    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    for line in MODULES.splitlines():
        folder, modules = line.split(": ")
        (tmp_path / folder).mkdir(parents=True)
        for module in modules.split():
            (tmp_path / folder / f"{module}.py").touch()
    for sample in PRESENT.splitlines():
        add(tmp_path, sample)
    return tmp_path


ALLOWED = """\
providers/provider.py: from ledger.records import anything
providers/fal/provider.py: from ledger.rows import anything
providers/fal/other.py: import settings.other, providers.http
providers/registry.py: import providers.fal.provider, providers.heygen.provider
outbound/client.py: import providers.http, ledger.ledger, telemetry.other
work/other.py: import ledger.ledger, telemetry.other
receiver/other.py: import providers.registry, ledger.ledger, work.other, outbound.client, settings.other
submitter/other.py: import providers.registry, ledger.ledger, work.other, outbound.client
renderhook/other.py: import receiver.other, sandbox.other
renderhook/copy_command.py: import ledger.copying.copy
ledger/other.py: import sqlite3, aiosqlite, psycopg, psycopg_pool
sandbox/demo/run.py: import sqlite3
"""

REFUSED = """\
imports point down <- ledger/other.py: import providers.http
imports point down <- ledger/records.py: from receiver import other
imports point down <- providers/provider.py: import outbound.client
imports point down <- work/other.py: import submitter.other
imports point down <- outbound/other.py: import work.other
imports point down <- submitter/other.py: import receiver.other
imports point down <- receiver/other.py: import renderhook.cli
imports point down <- telemetry/other.py: import settings.other
imports point down <- settings/other.py: import ledger.records
sandbox is a second opinion: it imports none of ours <- sandbox/other.py: import providers.http
sandbox is a second opinion: it imports none of ours <- sandbox/demo/run.py: import ledger.records
only the command line imports sandbox <- receiver/process.py: import sandbox.other
submitter is imported only where the process is composed <- receiver/other.py: import submitter.other
submitter is imported only where the process is composed <- renderhook/other.py: import submitter.other
providers import records, settings, and nothing else of ours <- providers/fal/other.py: import ledger.ledger
providers import records, settings, and nothing else of ours <- providers/http.py: import telemetry.other
a provider is found through the registry <- receiver/other.py: import providers.fal.provider
a provider is found through the registry <- providers/heygen/provider.py: import providers.fal.other
a provider is found through the registry <- submitter/other.py: from providers.heygen import provider
the HTTP client knows requests and responses, and no provider <- outbound/other.py: import providers.registry
the ledger's inside is its own <- receiver/process.py: import ledger.sqlite.store
the ledger's inside is its own <- submitter/other.py: import ledger.transitions.jobs
the ledger's inside is its own <- work/other.py: import ledger.storage.store
the ledger's inside is its own <- renderhook/other.py: import ledger.copying.copy
only ledger opens a database <- receiver/other.py: import sqlite3
only ledger opens a database <- sandbox/other.py: import sqlite3
only ledger opens a database <- submitter/other.py: from aiosqlite import connect
only ledger opens a database <- receiver/other.py: import psycopg
only ledger opens a database <- providers/http.py: from psycopg_pool import AsyncConnectionPool
only ledger opens a database <- sandbox/demo/run.py: import psycopg
no import circle <- ledger/sqlite/store.py: import ledger.ledger
"""


def add(packages: Path, sample: str) -> None:
    path, line = sample.split(": ")
    with (packages / path).open("a") as module:
        module.write(f"{line}\n")


def test_the_contracts_allow_what_the_design_allows(empty_packages: Path) -> None:
    for sample in ALLOWED.splitlines():
        add(empty_packages, sample)
    result = lint_imports(empty_packages)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("line", REFUSED.splitlines())
def test_each_contract_refuses_what_breaks_it(line: str, empty_packages: Path) -> None:
    contract, sample = line.split(" <- ")
    if contract == "no import circle":
        add(empty_packages, "ledger/ledger.py: import ledger.sqlite.store")
    add(empty_packages, sample)
    result = lint_imports(empty_packages)
    assert result.returncode == 1
    assert f"{contract} BROKEN" in result.stdout


def test_every_contract_is_broken_once() -> None:
    contracts = set(re.findall(r"^name = (.+)$", (ROOT / ".importlinter").read_text(), re.MULTILINE))
    assert {line.split(" <- ")[0] for line in REFUSED.splitlines()} == contracts


# --- how many modules stand in a folder -----------------------------------------------------------------------------


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
    elsewhere = [(path, text) for path, text in texts(".py") if not path.startswith(MAY_CONTAIN_SQL)]
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
