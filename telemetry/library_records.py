"""What libraries and the interpreter report by themselves, as events: records of `logging`, and lost exceptions."""

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from telemetry.emit import Emit

_SILENT = ("psycopg", "psycopg.pool")
"""Libraries whose warnings are events of ours."""

_INTERPRETER = logging.getLogger("python")


@contextlib.contextmanager
def library_records(emit: Emit) -> Iterator[None]:
    """Emit what libraries log at level warning or above, while this is entered; then restore what was before."""
    root, hooks = logging.getLogger(), (threading.excepthook, sys.unraisablehook)
    handlers, level = root.handlers, root.level
    root.handlers = [_Handler(emit)]
    root.setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)
    threading.excepthook = sys.unraisablehook = _log_lost_exception
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook, sys.unraisablehook = hooks
        root.handlers = handlers
        root.setLevel(level)


class _Handler(logging.Handler):
    def __init__(self, emit: Emit) -> None:
        super().__init__(logging.WARNING)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Emit one record."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the library's mistake must not be ours
            message = str(record.msg)
        fields: dict[str, Any] = {"logger": record.name, "where": f"{record.module}:{record.lineno}"}
        fields["message"] = message.strip()
        if record.exc_info:
            fields["exception"] = format_exception(record.exc_info[1])
        if record.levelno >= logging.ERROR:
            self._emit("library.failed", **fields)
        else:
            self._emit("library.warned", **fields)


def format_exception(error: BaseException | None) -> str:
    """Return the traceback of an exception as text, whatever its own methods do."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - as above
        return type(error).__name__


def _log_lost_exception(lost: "threading.ExceptHookArgs | sys.UnraisableHookArgs", /) -> None:
    _INTERPRETER.error("an exception was lost", exc_info=lost.exc_value)
