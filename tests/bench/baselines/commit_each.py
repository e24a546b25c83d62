"""The receiver itself with one transaction for each callback: what committing together is worth."""

from functools import partial

from ledger.sqlite import open_sqlite
from receiver import process
from receiver.__main__ import main

process.open_sqlite = partial(open_sqlite, batch=1)  # type: ignore[assignment]  # the same function, with one argument given

if __name__ == "__main__":
    main()
