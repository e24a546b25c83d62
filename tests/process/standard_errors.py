"""Standard errors that take no lines: for a receiver that must not mind."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from tests.process.children import python

Break = Callable[[], None]
"""Makes standard error take no lines any more."""

PAGE = 4096


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PAGE)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def closed() -> Iterator[tuple[dict[str, Any], Break]]:
    """Yield a pipe whose reader goes away."""
    with _pipe() as (reader, writer), open(os.devnull) as nothing:  # noqa: PTH123 - the descriptor is wanted

        def close_reader() -> None:
            os.dup2(nothing.fileno(), reader)

        yield {"stderr": writer}, close_reader


@contextlib.contextmanager
def stalled() -> Iterator[tuple[dict[str, Any], Break]]:
    """Yield a pipe that nobody reads, which is full before the receiver starts."""
    with _pipe() as (_, writer):
        os.write(writer, b"x" * PAGE)
        yield {"stderr": writer}, lambda: None


@contextlib.contextmanager
def full() -> Iterator[tuple[dict[str, Any], Break]]:
    """Yield a file on a disk without room."""
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123 - as above
        yield {"stderr": file}, lambda: None


KINDS: dict[str, Callable[[], AbstractContextManager[tuple[dict[str, Any], Break]]]] = {
    "closed": closed,
    "stalled": stalled,
    "full": full,
}

WITHOUT = ["sh", "-c", 'exec "$@" 2>&-', "sh", *python("-m", "receiver")]
"""The command of a receiver that has no standard error at all."""
