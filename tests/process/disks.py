"""Disks that fill up: a small file system of the receiver's own where this machine allows it, and a limit anywhere.

MOUNTED: the receiver runs in a mount namespace of its own with a tmpfs over the ledger's folder; it is gone with the
process, whatever happens to the test. LIMITED: the receiver may write no file beyond a size (RLIMIT_FSIZE), which can
be changed while it runs.
"""

import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.process import sqlite_reader
from tests.process.children import Child, python
from tests.process.deployment import Deployment


def _mounts_are_allowed() -> bool:
    if not shutil.which("unshare"):
        return False
    tried = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False, timeout=10).returncode == 0


needs_mounts = pytest.mark.skipif(not _mounts_are_allowed(), reason="this machine lets us mount nothing")


class MOUNTED:
    """A tmpfs. Filled by a file beside the ledger."""

    @staticmethod
    def command(folder: Path, options: str) -> list[str]:
        script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
        return [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            options,
            str(folder),
            *python("-m", "receiver"),
        ]

    def __init__(self, deployment: Deployment, **options: Any) -> None:
        folder = deployment.database.parent
        folder.mkdir()
        child = deployment.start(*self.command(folder, "size=1m"), **options)
        self._inside = Path(f"/proc/{child.pid}/root{folder}")
        # SQLite follows that path's links to the folder outside: only a process inside can read the ledger.
        enter = ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", str(child.pid)]
        deployment.reader = [*enter, *python(sqlite_reader.__file__, str(deployment.database))]

    def fill(self) -> None:
        with (self._inside / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def make_room(self) -> None:
        (self._inside / "filler").unlink()


class LIMITED:
    """A limit to the size of files."""

    @staticmethod
    def command(folder: Path, options: str) -> list[str]:
        limit = options.removeprefix("size=").replace("k", "000")
        script = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({limit}, {limit})); "
        return python("-c", script + "from renderhook.cli import main; main(['serve'])")

    def __init__(self, deployment: Deployment, **options: Any) -> None:
        self._child: Child = deployment.start(**options)
        self._wal = Path(f"{deployment.database}-wal")

    def fill(self) -> None:
        self._limit(self._wal.stat().st_size)

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self._child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
