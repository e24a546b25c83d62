"""The receiver itself with one transaction for each callback: what committing together is worth."""

from functools import partial

from receiver.__main__ import main

from ledger.sqlite.store import open_sqlite
from receiver import process

process.open_sqlite = partial(open_sqlite, batch=1)  # type: ignore[assignment]  # the same function, with one argument given

if __name__ == "__main__":
    main()
