"""Events that are set when something may be due: a kind of work, or an endpoint's deliveries."""

import asyncio
from collections.abc import Iterable
from weakref import WeakValueDictionary


class DueEvents:
    """Events by name. An event is kept only while a caller holds it."""

    def __init__(self) -> None:
        self._events: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def get(self, name: str) -> asyncio.Event:
        """Return the event of that name."""
        return self._events.setdefault(name, asyncio.Event())

    def set(self, names: Iterable[str]) -> None:
        """Set the events of these names that are held."""
        for name in names:
            if (event := self._events.get(name)) is not None:
                event.set()

    def set_all(self) -> None:
        """Set every event that is held."""
        self.set(list(self._events))
