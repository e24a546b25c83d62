"""How the rows of the table of events are written."""

from collections.abc import Mapping

import msgspec

from telemetry.lines.formats import Level
from telemetry.lines.limits import LineLimit

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """How an event is logged and counted.

    `help` says what happened, for the documentation and for the counter. `labels` are the fields that become the
    counter's labels (`telemetry/labels.py` has their values). It is logged at `level`, or at that of `levels` for the
    value of a field, and no more often than `limit` allows; it is counted every time.
    """

    help: str
    labels: tuple[str, ...] = ()
    level: Level = "info"
    levels: Mapping[str, Mapping[str, Level]] = {}
    limit: LineLimit | None = None

    def level_of(self, fields: Mapping[str, object]) -> Level:
        """Return the level at which the event is logged with these fields."""
        for name, levels in self.levels.items():
            if (level := levels.get(str(fields.get(name)))) is not None:
                return level
        return self.level


def event_type(
    help: str,  # noqa: A002 - Prometheus' own word
    *labels: str,
    level: Level = "info",
    debug: str = "",
    info: str = "",
    warning: str = "",
    limit: LineLimit | None = None,
) -> EventType:
    """Make a row. `debug`, `info`, `warning` are `field=value value …`: values of a field that have another level."""
    levels: dict[str, dict[str, Level]] = {}
    others: tuple[tuple[Level, str], ...] = (("debug", debug), ("info", info), ("warning", warning))
    for other, when in others:
        name, _, values = when.partition("=")
        for value in values.split():
            levels.setdefault(name, {})[value] = other
    return EventType(help=help, labels=labels, level=level, levels=levels, limit=limit)


def ten_a_minute(*by: str) -> LineLimit:
    """Return the limit for what may repeat often: ten lines a minute for each combination of these fields."""
    return LineLimit(10, MINUTE_MS, by)
