"""The receiver itself with one transaction for each callback: what committing together is worth."""

from functools import partial

from ledger.sqlite.store import open_sqlite
from receiver import process
from renderhook.cli import main

process.open_sqlite = partial(open_sqlite, batch=1)  # type: ignore[assignment]  # the same function, with one argument given

if __name__ == "__main__":
    main(["serve"])
