"""The import contracts of .importlinter hold, and each refuses an import that breaks it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT

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
a provider imports no other <- providers/heygen/provider.py: import providers.fal.other
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
