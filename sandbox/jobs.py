"""What the pretend providers have been asked to do, kept in memory and in order."""

import asyncio
import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.faults import Faults, faults_asked_for, number, parse_faults

Provider = Literal["fal", "heygen"]


@dataclass(frozen=True)
class Failure:
    """Why a job will fail: fal's error type or HeyGen's, a sentence, and the input fields at fault."""

    kind: str
    message: str
    fields: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Job:
    """One billed job. Times are seconds since the Unix epoch; the state follows from the clock."""

    provider: Provider
    id: str
    model: str
    input: dict[str, Any]
    base_url: str
    """Where the submitter reached us, with a trailing slash; every URL that we give begins with it."""
    webhook_url: str | None
    faults: Faults
    failure: Failure | None
    """None when it will complete."""
    submitted_at: float
    starts_at: float
    ends_at: float
    canceled: bool = False
    gateway_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after the first attempt of its callback, or when there will be none."""

    @property
    def state(self) -> Literal["queued", "running", "completed", "failed", "canceled"]:
        """Where the job is now."""
        now = time.time()
        if self.canceled:
            return "canceled"
        if now < self.starts_at:
            return "queued"
        if now < self.ends_at:
            return "running"
        return "failed" if self.failure else "completed"

    @property
    def ended(self) -> bool:
        """Whether nothing will change its state any more."""
        return self.state in {"completed", "failed", "canceled"}

    def cancel(self) -> None:
        """Shutdown the job, unless it was asked to ignore that."""
        if "cancel-ignored" not in self.faults:
            self.canceled = True


class Jobs:
    """All jobs since the start, in order of submission, with the faults that apply to all of them."""

    def __init__(self, render_seconds: float, faults: str) -> None:
        self.render_seconds = render_seconds
        self.faults_for_all = parse_faults(faults)
        self._jobs: dict[str, Job] = {}
        self._turned_away: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, provider: Provider, job_id: str) -> Job | None:
        """Return a job of this provider, or None."""
        job = self._jobs.get(job_id)
        return job if job and job.provider == provider else None

    def faults_of(self, job_input: Any) -> Faults:
        """Join what an input asks for with what is set for all; the input's numbers win."""
        # Set for all, an unreachable JWKS is a state of the house and not of a job.
        shared = {name: value for name, value in self.faults_for_all.items() if name != "jwks-down"}
        return {**shared, **faults_asked_for(job_input)}

    def accept(
        self,
        provider: Provider,
        job_id: str,
        model: str,
        job_input: dict[str, Any],
        *,
        faults: Faults,
        failure: Failure | None,
        base_url: str,
        webhook_url: str | None = None,
    ) -> Job:
        """Take a job on: from here it is billed, whatever becomes of the answer."""
        now = time.time()
        render = number(faults, "long", 60) if "long" in faults else self.render_seconds
        render = 0.0 if "early" in faults else render
        job = Job(
            provider=provider,
            id=job_id,
            model=model,
            input=job_input,
            base_url=base_url,
            webhook_url=webhook_url,
            faults=faults,
            failure=failure,
            submitted_at=now,
            starts_at=now + render / 4,
            ends_at=now + render,
        )
        self._jobs[job_id] = job
        return job

    def turned_away(self, faults: Faults, what: str) -> Literal[429, 503] | None:
        """Say whether this request is to be answered 429 or 503, and count it.

        `what` names the input or the job. The count starts anew once a request has passed.
        """
        for name, status in (("429", 429), ("5xx", 503)):
            key = f"{name} {what}"
            if self._turned_away[key] < number(faults, name, 2):
                self._turned_away[key] += 1
                return 429 if status == 429 else 503
        return None

    def passed(self, what: str) -> None:
        """Forget the refusals of an input, so that the next job with the same one meets them again."""
        for name in ("429", "5xx"):
            self._turned_away.pop(f"{name} {what}", None)


def fingerprint(model: str, job_input: Any) -> str:
    """Name an input, equal for equal inputs."""
    return hashlib.sha256(json.dumps([model, job_input], sort_keys=True).encode()).hexdigest()
