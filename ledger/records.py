"""The vocabulary: every state, outcome and row, each word defined once and frozen.

Times are integer milliseconds since the Unix epoch, UTC. Sizes are bytes.
"""

import enum
import hashlib
from typing import Literal, Self

import msgspec

Source = Literal["callback", "poll"]


class JobState(enum.StrEnum):
    """Where a job is, in the order it lives. Each line says what it means and who moves it on."""

    WAITING = "waiting"
    """A chain step whose input is another job's output. That job's outcome moves it on."""
    ACCEPTED = "accepted"
    """Durable; nobody has asked the provider. The submitter, claiming it, moves it on."""
    SUBMITTING = "submitting"
    """Claimed; the request may be on the wire. The provider's answer, or the lease's end, moves it on."""
    UNCONFIRMED = "unconfirmed"
    """The provider may have it: nobody read its answer. Its callback, or the policy, moves it on."""
    SUBMITTED = "submitted"
    """The provider has it and its request id is known. Callback or poll moves it on."""
    COMPLETED = "completed"
    """Terminal: the provider rendered it."""
    FAILED = "failed"
    """Terminal: the provider, or the road to it, said no for good."""
    CANCELED = "canceled"
    """Terminal: the user took it back before the provider finished."""
    EXPIRED = "expired"
    """Terminal: nobody answered within the time allowed."""


class Fault(enum.StrEnum):
    """Whose fault a failure is, and so who must act."""

    INPUT = "input"
    """The job's input: the user changes it."""
    ACCOUNT = "account"
    """The account at the provider (key, balance, permission): the operator mends it."""
    PROVIDER = "provider"
    """The provider broke or refused: asking again later may work."""
    NETWORK = "network"
    """Nobody reached the provider, or nobody read its answer."""
    US = "us"
    """Renderhook itself."""


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job did not complete. `retryable` says whether the same request, unchanged, may succeed later."""

    fault: Fault
    code: str
    message: str
    retryable: bool = False


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an outcome, as the provider described it. Sizes are bytes and pixels."""

    url: str
    content_type: str | None = None
    file_name: str | None = None
    file_size: int | None = None
    width: int | None = None
    height: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a job. Built only by the constructors below, one per legal ending."""

    state: JobState
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    processing_time_ms: int | None = None
    warning: str | None = None

    @classmethod
    def completed(
        cls, outputs: tuple[Output, ...], *, processing_time_ms: int | None = None, warning: str | None = None
    ) -> Self:
        """End as rendered, with every file the provider named (possibly none)."""
        return cls(state=JobState.COMPLETED, outputs=outputs, processing_time_ms=processing_time_ms, warning=warning)

    @classmethod
    def failed(cls, error: JobError) -> Self:
        """End as refused or broken, with the reason."""
        return cls(state=JobState.FAILED, error=error)

    @classmethod
    def canceled(cls) -> Self:
        """End because the user took the job back."""
        return cls(state=JobState.CANCELED)

    @classmethod
    def expired(cls, error: JobError) -> Self:
        """End because nobody answered in time, with what was waited for."""
        return cls(state=JobState.EXPIRED, error=error)

    @property
    def fingerprint(self) -> str:
        """Tell two reports of one decision apart from two decisions.

        Equal for a callback and a poll of the same ending: the state, and the output locations without their
        query (HeyGen signs its URLs anew on every read). Error texts do not count; providers word them twice.
        """
        places = sorted(output.url.partition("#")[0].partition("?")[0] for output in self.outputs)
        return hashlib.sha256("\n".join([self.state.value, *places]).encode()).hexdigest()[:32]


class RecordResult(enum.StrEnum):
    """What became of a reported outcome. All but `foreign` leave a receipt."""

    RECORDED = "recorded"
    """The first: it is now the job's outcome."""
    DUPLICATE = "duplicate"
    """The same outcome again."""
    CONFLICT = "conflict"
    """Another outcome for a job that has ended, or a report under a request id not known of it. What is, stands."""
    ORPHAN = "orphan"
    """No such job."""
    PENDING = "pending"
    """Verified, but the outcome itself has to be fetched: a check is due at once."""
    FOREIGN = "foreign"
    """The request belongs to another job. Nothing is written."""
