"""What the ledger says when it cannot do what was asked, sorted by what comes next.

LedgerError
├── Unavailable      try again: nothing was written
│   ├── Overloaded   more is waiting than may wait
│   ├── DiskFull     no room until somebody makes some
│   └── Unanswered   the one that may have been written: look before trying again
├── CannotOpen       an operator must act before we can start
│   ├── Locked       another process has the file
│   └── Corrupt      the file is not a ledger any more
└── Contradiction    the schema refused a lie: our own internal_error, never written
"""


class LedgerError(Exception):
    """Base of everything the ledger raises."""


class Unavailable(LedgerError):
    """Nothing was written; the same call may succeed later."""


class Overloaded(Unavailable):
    """More writes are waiting than the bound allows; nothing was written."""


class DiskFull(Unavailable):
    """The disk has no room; nothing was written."""


class Unanswered(Unavailable):
    """The database was asked to commit and did not answer: it was written, or not. Asking again must be harmless."""


class CannotOpen(LedgerError):
    """The ledger cannot be opened until an operator acts; the message says how."""


class Locked(CannotOpen):
    """Another process has the ledger open for writing."""


class Corrupt(CannotOpen):
    """The file is damaged, or no ledger of ours."""


class Contradiction(LedgerError):
    """The schema refused a row that contradicts another; nothing was written."""
