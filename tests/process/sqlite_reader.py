"""Reading a ledger's file beside the process that writes it, also as `python reading.py FILE STATEMENT VALUE…`."""

import contextlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any


def read(database: Path, statement: str, *values: object) -> list[dict[str, Any]]:
    """Run one statement on a connection that cannot write."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as ledger:
        ledger.row_factory = sqlite3.Row
        return [dict(row) for row in ledger.execute(statement, values)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(read(Path(sys.argv[1]), *sys.argv[2:])))
