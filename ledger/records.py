"""The words of the ledger: states, events, outcomes and results, each defined once.

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
    """A step whose input is another job's output, or whose turn has not come. Its run moves it on."""
    ACCEPTED = "accepted"
    """Durable; no provider has been asked. The submitter, claiming it, moves it on."""
    SUBMITTING = "submitting"
    """Claimed; the request may be on the wire. The provider's answer, or the end of the claim, moves it on."""
    UNCONFIRMED = "unconfirmed"
    """The provider may have it: no answer was read. Its callback, or the policy, moves it on."""
    SUBMITTED = "submitted"
    """The provider has it and its request id is known. Callback or poll moves it on."""
    COMPLETED = "completed"
    """Terminal: the provider rendered it."""
    FAILED = "failed"
    """Terminal: the provider refused it or failed, for good."""
    CANCELED = "canceled"
    """Terminal: the user canceled it before the provider finished."""
    EXPIRED = "expired"
    """Terminal: no outcome came within the time allowed."""

    @property
    def is_terminal(self) -> bool:
        """Return whether the job has ended."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED})


class EventType(enum.StrEnum):
    """What can happen, named after its subject. The table `event_types` has the same."""

    JOB_ACCEPTED = "job.accepted"
    JOB_UNCONFIRMED = "job.unconfirmed"
    JOB_SUBMITTED = "job.submitted"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELED = "job.canceled"
    JOB_EXPIRED = "job.expired"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELED = "run.canceled"
    OUTPUT_ARCHIVED = "output.archived"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_TEST = "endpoint.test"

    @property
    def subject(self) -> str:
        """Name the kind of thing that it happens to: job, run, output or endpoint."""
        return self.partition(".")[0]

    @property
    def public(self) -> bool:
        """Return whether endpoints receive it; the others are for the subject's own history."""
        return self not in _PRIVATE

    @classmethod
    def of_ending(cls, state: JobState) -> "EventType":
        """Return the event of a job that ends in `state`."""
        return _OF_ENDING[state]


_OF_ENDING = {state: EventType(f"job.{state.value}") for state in JobState if state.is_terminal}
_PRIVATE = frozenset({EventType.JOB_ACCEPTED, EventType.JOB_UNCONFIRMED})


class Fault(enum.StrEnum):
    """Whose fault a failure is, and so who must act."""

    INPUT = "input"
    """The job's input: the user changes it."""
    ACCOUNT = "account"
    """The account at the provider (key, balance, permission): the operator acts."""
    PROVIDER = "provider"
    """The provider broke or refused: asking again later may work."""
    NETWORK = "network"
    """The provider was not reached, or its answer was not read."""
    RENDERHOOK = "renderhook"
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
        """End as refused or failed, with the reason."""
        return cls(state=JobState.FAILED, error=error)

    @classmethod
    def canceled(cls) -> Self:
        """End because the user canceled the job."""
        return cls(state=JobState.CANCELED)

    @classmethod
    def expired(cls, error: JobError) -> Self:
        """End because no outcome came in time, with what was waited for."""
        return cls(state=JobState.EXPIRED, error=error)

    @property
    def fingerprint(self) -> str:
        """Identify the decision: equal in two reports of one, different in two decisions.

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
    """Verified, but the outcome itself has to be fetched: a poll is due at once."""
    FOREIGN = "foreign"
    """The request belongs to another job. Nothing is written."""
