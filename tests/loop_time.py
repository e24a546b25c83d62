"""Measures how long the event loop is held: the CPU time of its thread for each callback that it runs."""

import asyncio
import gc
import time
from types import TracebackType
from typing import Any, Self


class LoopTime:
    """While it is entered, keeps the longest CPU time of one step of the loop in `longest` (seconds).

    Time for which the machine ran something else, or another thread held the interpreter, does not count. What the
    tests have made before is left out of garbage collection, as what the process makes at its start is.
    """

    def __init__(self) -> None:
        self.longest = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self._run: Any = asyncio.events.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            self._run(handle)
            self.longest = max(self.longest, time.thread_time() - began)

        asyncio.events.Handle._run = measured  # type: ignore[method-assign, assignment]  # nothing public is called at each step
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.unfreeze()
        asyncio.events.Handle._run = self._run  # type: ignore[method-assign]
