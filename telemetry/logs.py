"""Writes log lines to standard error, one line an event, as JSON or as text."""

import json
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from telemetry.line_writer import STANDARD_ERROR, LineWriter, open_standard_streams

REPEAT_SECONDS = 60.0
"""A library's line without an exception is written once in so long: strangers can cause one with every request."""


def configure_logs(
    log_format: str, log_level: str, writer: LineWriter = STANDARD_ERROR, *, redact: Callable[[str], str] = str
) -> None:
    """Configure logging for the whole process. `log_format` is `json` or `text`, `log_level` a level's name.

    `redact` is applied to what libraries log. Events are redacted before: see `redacted_emit.py`.
    """
    open_standard_streams()
    level = logging.getLevelNamesMapping()[log_level.upper()]
    processors: list[Any] = []
    wrapper: Any = _json_logger(level)
    factory: Any = structlog.BytesLoggerFactory(writer)  # type: ignore[arg-type]  # it only writes and flushes
    if log_format == "text":
        wrapper = structlog.make_filtering_bound_logger(level)
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr is not None and sys.stderr.isatty()),
            _text_line,
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=wrapper,
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    for library in ("psycopg", "psycopg.pool"):  # their warnings are events of ours
        logging.getLogger(library).setLevel(logging.ERROR)
    logging.raiseExceptions = False  # it would print to standard error, which may be closed
    handler = logging.StreamHandler(writer)
    handler.addFilter(_Repeated())
    handler.setFormatter(_JsonFormatter(redact) if log_format == "json" else _TextFormatter(redact))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])


def _json_logger(level: int) -> type:
    """Return a bound logger of structlog that writes JSON. Its own processors take four times as long for each line."""

    class JsonLogger(structlog.BoundLoggerBase):
        def debug(self, event: str, **fields: Any) -> None:
            if level <= logging.DEBUG:
                self._logger.msg(_json_line("debug", fields | {"event": event}))

        def info(self, event: str, **fields: Any) -> None:
            if level <= logging.INFO:
                self._logger.msg(_json_line("info", fields | {"event": event}))

        def warning(self, event: str, **fields: Any) -> None:
            if level <= logging.WARNING:
                self._logger.msg(_json_line("warning", fields | {"event": event}))

    return JsonLogger


_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def _json_line(level: str, event: MutableMapping[str, Any]) -> bytes:
    event["level"] = level
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:  # a lone surrogate, as in a header that is not UTF-8; json can escape it
        return json.dumps(event, default=repr).encode()


def _text_line(_: object, __: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


class _JsonFormatter(logging.Formatter):
    """Makes a library's line an event: `library.logged`, with the logger's name and the message."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, Any] = {"event": "library.logged", "logger": record.name}
        event["message"] = self._redact(record.getMessage())
        if record.exc_info:
            event["exception"] = self._redact(self.formatException(record.exc_info))
        return _json_line(record.levelname.lower(), event).decode()


class _TextFormatter(logging.Formatter):
    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(super().format(record))


class _Repeated(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, message = time.monotonic(), f"{record.name} {record.msg}"
        if record.exc_info or now >= self._until.get(message, 0.0):
            self._until = {old: until for old, until in self._until.items() if now < until}
            self._until[message] = now + REPEAT_SECONDS
            return True
        return False
