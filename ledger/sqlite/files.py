"""The files of a database on SQLite: private, and missed when they are deleted or replaced under the process."""

import contextlib
import os
from pathlib import Path

from ledger.errors import FileLost

_OF_OTHERS = 0o007
"""The permissions of users outside the file's group."""


def make_private(path: Path) -> None:
    """Make the file if it is not there, for its owner only. Of an existing one, take away what other users may do.

    It has pictures of faces and signed URLs. SQLite makes `-wal` and `-shm` with the permissions of the file.
    """
    with contextlib.suppress(OSError):  # whatever it is, SQLite says it in its own words when it opens the file
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(FileNotFoundError, PermissionError):  # another owner's file is its owner's to protect
            mode = each.stat().st_mode
            if mode & _OF_OTHERS:
                each.chmod(mode & ~_OF_OTHERS)


class OpenFiles:
    """The files that a process has open, by which inode they are. Make it when they all are there."""

    def __init__(self, path: Path) -> None:
        paths = (path, Path(f"{path}-wal"), Path(f"{path}.lock"))
        self._inodes = {each: found for each in paths if (found := _inode(each)) is not None}

    def fault(self) -> FileLost | None:
        """Return what is wrong if one of them is not in its place any more: what is written would be lost."""
        for path, inode in self._inodes.items():
            found = _inode(path)
            if found != inode:
                what = "was deleted" if found is None else "was replaced by another file"
                return FileLost(
                    f"{path} {what} while this process had it open: nothing is recorded any more. Stop the process, "
                    f"put the file or a backup in its place, and start again"
                )
        return None


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
