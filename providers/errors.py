"""What this package raises, and nothing else, whatever bytes it is given.

ProviderError
├── Unverified       a callback that is not believed; `reason` is for log and metric, never for the reply
│   └── NoKeyMatches     no known key made the signature: the keys may have changed, so fetch them again
├── Malformed        an answer or a key set that cannot be read; asking again may help
└── InputRefused     a job's input that would be paid for in vain: the caller mends it
"""

import enum


class Reason(enum.StrEnum):
    """Why a callback is not believed: one stable word each, in the order the checks are made."""

    HEADER_MISSING = "header_missing"
    """One of the four signed headers is not there."""
    HEADER_DOUBLED = "header_doubled"
    """One of the four came twice, and nobody can say which one was signed."""
    HEADER_MALFORMED = "header_malformed"
    """A request id or user id that is empty, too long, or not plain ASCII on one line."""
    SIGNATURE_MALFORMED = "signature_malformed"
    """Not 128 hexadecimal digits."""
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    """Not 1 to 12 decimal digits."""
    OTHER_ACCOUNT = "other_account"
    """Signed for another account than the pinned one."""
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    """Sent longer ago than the tolerance: a replay, or a slow clock there."""
    TIMESTAMP_AHEAD = "timestamp_ahead"
    """Sent further in the future than the tolerance: a slow clock here."""
    NO_KEY_MATCHES = "no_key_matches"
    """No known key made this signature over these bytes."""
    BODY_NOT_JSON = "body_not_json"
    """Signed, but the body is not JSON."""
    BODY_MALFORMED = "body_malformed"
    """Signed JSON, but not a callback: a wrong type, an unknown status, or absurd nesting."""
    REQUEST_ID_DIFFERS = "request_id_differs"
    """The header names one request and the body another."""


class ProviderError(Exception):
    """Be the base of everything this package raises."""


class Unverified(ProviderError):
    """Refuse to believe a callback. `reason` is a word of `Reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class NoKeyMatches(Unverified):
    """Refuse a signature that none of the known keys made, or that no key is known for."""

    def __init__(self) -> None:
        super().__init__(Reason.NO_KEY_MATCHES)


class Malformed(ProviderError):
    """Say that what a provider sent cannot be read, and why."""


class InputRefused(ProviderError):
    """Refuse a job's input: `field` is its path, `message` says what was wrong and what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
