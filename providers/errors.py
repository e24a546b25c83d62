"""The exceptions of this package. Parsers raise nothing else, whatever bytes they are given.

ProviderError
├── Unverified       a callback that failed verification; `reason` is for the log and metrics, never for the reply
│   └── NoKeyMatches     no known key made the signature: the keys may have changed, so fetch them again
├── Malformed        a response, a callback or a key set that cannot be read; a retry may help
├── InputRefused     a job's input that the provider would reject: the caller corrects it
└── InvalidProvider  an installed provider that does not satisfy the interface, or whose name is taken
"""

import enum


class Reason(enum.StrEnum):
    """Why a callback failed verification: one stable word each, in the order of the checks."""

    HEADER_MISSING = "header_missing"
    """A signed header is missing."""
    HEADER_DOUBLED = "header_doubled"
    """A signed header came twice with different values: it is not known which one was signed."""
    HEADER_MALFORMED = "header_malformed"
    """A signed id that is empty, too long, or not visible ASCII."""
    SIGNATURE_MALFORMED = "signature_malformed"
    """Not a signature in the provider's encoding."""
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    """Not 1 to 12 decimal digits."""
    OTHER_ACCOUNT = "other_account"
    """Signed for another account than the configured one."""
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    """Older than the tolerance: a replay, or the provider's clock is slow."""
    TIMESTAMP_AHEAD = "timestamp_ahead"
    """Further in the future than the tolerance: our clock is slow."""
    NO_KEY_MATCHES = "no_key_matches"
    """No known key made this signature over these bytes."""
    REQUEST_ID_DIFFERS = "request_id_differs"
    """The header and the body name different requests."""


class ProviderError(Exception):
    """Base of every exception of this package."""


class Unverified(ProviderError):
    """A callback failed verification. `reason` is a word of `Reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class NoKeyMatches(Unverified):
    """None of the known keys made the signature, or no key is known."""

    def __init__(self) -> None:
        super().__init__(Reason.NO_KEY_MATCHES)


class Malformed(ProviderError):
    """A provider's response, callback or key set cannot be read; the message says why."""


class InputRefused(ProviderError):
    """A job's input is not acceptable: `field` is its path, `message` says what is wrong and what would be right."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class InvalidProvider(ProviderError):
    """Installed providers cannot be used. The message has a line for each: provider, entry point, distribution, why."""
