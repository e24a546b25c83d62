"""Running a command's coroutine."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ledger.errors import LedgerError
from providers.errors import InvalidProvider
from renderhook.errors import CommandError

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop, where that exists, and return its result.

    Raises CommandError with exit code 1 for a LedgerError or InvalidProvider. Exits with 130 on ctrl-C.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(coroutine)
    except (LedgerError, InvalidProvider) as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - uvloop does not exist on Windows; asyncio's own loop is used there
    except ImportError:
        return None
    return uvloop.new_event_loop
