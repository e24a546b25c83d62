"""Whether this machine's clock was set back. What is due at a time of the day would wait until it comes again."""

from ledger.clock import Clock, monotonic_clock, wall_clock

TOLERANCE_MS = 1_000
"""How far back the clock may be set without consequence: it is adjusted by so much as a matter of routine."""


class ClockWatch:
    """Compares the time of the day with the monotonic clock."""

    def __init__(self, *, wall: Clock = wall_clock, monotonic: Clock = monotonic_clock) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()

    def set_back(self) -> int:
        """Return by how many ms the clock was set back, until `accept` is called; 0 within the tolerance."""
        ahead = self._wall() - self._monotonic()
        self._ahead = max(self._ahead, ahead)
        return self._ahead - ahead if self._ahead - ahead > TOLERANCE_MS else 0

    def saw(self, moment: int) -> None:
        """Take note that the clock has shown `moment` (ms), in an earlier process for example."""
        self._ahead = max(self._ahead, moment - self._monotonic())

    def accept(self) -> None:
        """Take the clock for right as it is."""
        self._ahead = self._wall() - self._monotonic()
