"""Exceptions in tasks that nobody awaits."""

import asyncio


def report_exception(task: str, error: BaseException) -> None:
    """Log an exception of a task that goes on, by the event loop's handler. `task` says which it is."""
    asyncio.get_running_loop().call_exception_handler({"message": f"{task} raised", "exception": error})
