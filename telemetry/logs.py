"""Writes log lines to standard error, one line an event, as JSON or as text."""

import json
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog


def configure_logs(log_format: str, log_level: str) -> None:
    """Configure logging for the whole process. `log_format` is `json` or `text`, `log_level` a level's name."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    processors: list[Any] = [_json_line]
    factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    if log_format == "text":
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
        factory = structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    for library in ("psycopg", "psycopg.pool"):  # their warnings are events of ours
        logging.getLogger(library).setLevel(logging.ERROR)
    logging.basicConfig(
        level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )


_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def _json_line(_: object, level: str, event: MutableMapping[str, Any]) -> bytes:
    """Encode an event, in a third of the time of structlog's own processors: each callback is a line."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    try:
        return _ENCODER.encode(event)
    except UnicodeEncodeError:  # a lone surrogate, as in a header that is not UTF-8; json can escape it
        return json.dumps(event, default=repr).encode()
