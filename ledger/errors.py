"""The errors of the ledger, by what the caller can do.

LedgerError
├── Unavailable      nothing was written; try again
│   ├── Overloaded   too many writes wait
│   ├── DiskFull     the disk has no room
│   ├── Closed       the process is ending
│   ├── FileLost     the file was deleted or replaced: until an operator acts, every call fails
│   └── Unanswered   it may have been written: read before trying again
├── CannotOpen       an operator must act
│   ├── Locked       another process has the file
│   └── Corrupt      the file is damaged
└── Contradiction    a constraint rejected a row: a bug in Renderhook
"""


class LedgerError(Exception):
    """Base of everything the ledger raises."""


class Unavailable(LedgerError):
    """Nothing was written; the same call may succeed later."""


class Overloaded(Unavailable):
    """More writes wait than MAX_WAITING_WRITES allows; nothing was written."""


class DiskFull(Unavailable):
    """The disk has no room; nothing was written."""


class Closed(Unavailable):
    """The process closed the database, because it is ending."""


class FileLost(Unavailable):
    """The database's file was deleted or replaced under the process; nothing that lasts was written."""


class Unanswered(Unavailable):
    """The database did not confirm a commit, which may have been applied. A repeated call must be harmless."""


class CannotOpen(LedgerError):
    """The database cannot be opened until an operator acts; the message says how."""


class Locked(CannotOpen):
    """Another process has the database open for writing."""


class Corrupt(CannotOpen):
    """The file is damaged, or not a database of Renderhook."""


class Contradiction(LedgerError):
    """A constraint rejected a row. A bug in Renderhook; nothing was written."""
