"""The receiver with one transaction for each callback: what group commit gains."""

from functools import partial

from ledger import open as opening
from ledger.sqlite.store import open_sqlite
from renderhook.cli import main

opening.open_sqlite = partial(open_sqlite, batch=1)  # type: ignore[attr-defined]  # replaced where it is called

if __name__ == "__main__":
    main(["serve"])
