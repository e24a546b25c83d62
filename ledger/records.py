"""States, events, outcomes and results of recording.

Times are integer milliseconds since the Unix epoch, UTC. Sizes are bytes.
"""

import enum
import hashlib
from typing import Literal, Self

import msgspec

Source = Literal["callback", "poll"]


class JobState(enum.StrEnum):
    """The states of a job, in their usual order, each with what changes it."""

    WAITING = "waiting"
    """A step of a run that cannot start yet. Changed by its run."""
    ACCEPTED = "accepted"
    """Durable, and not submitted. Changed by the worker that claims it."""
    SUBMITTING = "submitting"
    """Claimed; the request may be on the wire. Changed by the provider's response, or by the end of the claim."""
    UNCONFIRMED = "unconfirmed"
    """The provider may have it: no response was read. Changed by its callback, or by RESUBMIT_UNCONFIRMED."""
    SUBMITTED = "submitted"
    """The provider has it, and its request id is known. Changed by a callback or a poll."""
    COMPLETED = "completed"
    """Terminal: the provider completed it."""
    FAILED = "failed"
    """Terminal: the provider refused it or failed."""
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
    """The types of events, named `subject.past_participle`. The table `event_types` has the same."""

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
        """Return the kind of the subject: job, run, output or endpoint."""
        return self.partition(".")[0]

    @property
    def public(self) -> bool:
        """Return whether endpoints receive it. The others are only in the list of the subject's events."""
        return self not in _PRIVATE

    @classmethod
    def of_ending(cls, state: JobState) -> "EventType":
        """Return the event of a job that ends in `state`."""
        return _OF_ENDING[state]


_OF_ENDING = {state: EventType(f"job.{state.value}") for state in JobState if state.is_terminal}
_PRIVATE = frozenset({EventType.JOB_ACCEPTED, EventType.JOB_UNCONFIRMED})


class Fault(enum.StrEnum):
    """The cause of a failure, which decides who must act."""

    INPUT = "input"
    """The job's input: the user must change it."""
    ACCOUNT = "account"
    """The account at the provider (key, balance, permission): the operator must act."""
    PROVIDER = "provider"
    """The provider failed or refused: a later retry may work."""
    NETWORK = "network"
    """The provider was not reached, or its response was not read."""
    RENDERHOOK = "renderhook"
    """Renderhook itself."""


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job did not complete. `retryable`: the same request may succeed later."""

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
    """How a job ended. Built only by the constructors below, one for each terminal state."""

    state: JobState
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    processing_time_ms: int | None = None
    warning: str | None = None

    @classmethod
    def completed(
        cls, outputs: tuple[Output, ...], *, processing_time_ms: int | None = None, warning: str | None = None
    ) -> Self:
        """Return a completion with every file that the provider named, possibly none."""
        return cls(state=JobState.COMPLETED, outputs=outputs, processing_time_ms=processing_time_ms, warning=warning)

    @classmethod
    def failed(cls, error: JobError) -> Self:
        """Return a failure or refusal with its reason."""
        return cls(state=JobState.FAILED, error=error)

    @classmethod
    def canceled(cls) -> Self:
        """Return a cancellation by the user."""
        return cls(state=JobState.CANCELED)

    @classmethod
    def expired(cls, error: JobError) -> Self:
        """Return an expiry with what was waited for."""
        return cls(state=JobState.EXPIRED, error=error)

    @property
    def fingerprint(self) -> str:
        """Identify the outcome: two reports of the same one have the same fingerprint.

        It covers the state and the URLs of the outputs without their queries, because HeyGen signs its URLs again in
        each response. It does not cover errors, whose texts differ between callback and poll.
        """
        places = sorted(output.url.partition("#")[0].partition("?")[0] for output in self.outputs)
        return hashlib.sha256("\n".join([self.state.value, *places]).encode()).hexdigest()[:32]


class RecordResult(enum.StrEnum):
    """The result of recording a report. All but `foreign` leave a receipt."""

    RECORDED = "recorded"
    """It is the job's outcome now."""
    DUPLICATE = "duplicate"
    """The same outcome again."""
    CONFLICT = "conflict"
    """Another outcome for a job that has ended, or another request id than the job's. The job is unchanged."""
    ORPHAN = "orphan"
    """There is no such job."""
    PENDING = "pending"
    """The outcome has to be fetched, or the request may be of another account: a poll is due at once."""
    FOREIGN = "foreign"
    """The request belongs to another job. Nothing is written."""
