"""Limits and settings of the operating system process: file descriptors and garbage collection."""

import contextlib
import gc
import resource


def freeze_startup_objects() -> None:
    """Exempt objects made at startup from garbage collection: traversing them pauses the process for 25 ms."""
    gc.collect()
    gc.freeze()


def raise_file_limit() -> None:
    """Raise the limit of file descriptors as far as allowed: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    with contextlib.suppress(OSError, ValueError):  # where it is not allowed, the limit stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
