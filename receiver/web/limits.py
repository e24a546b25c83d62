"""What the process takes of its machine: files it may open, and memory it keeps for good."""

import contextlib
import gc
import resource


def freeze_startup_objects() -> None:
    """Let the garbage collector leave alone what is there for good: looking through it stops everybody for 25 ms."""
    gc.collect()
    gc.freeze()


def raise_file_limit() -> None:
    """Take as many file descriptors as we may have: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    with contextlib.suppress(OSError, ValueError):  # a system that says no leaves us what we had
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
