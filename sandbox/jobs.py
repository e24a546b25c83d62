"""The jobs of the simulated providers, kept in memory and in order."""

import asyncio
import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.faults import Faults, faults_in, number, parse_faults

Provider = Literal["fal", "heygen"]


@dataclass(frozen=True)
class Failure:
    """Why a job will fail: the provider's error type, a message, and the input fields at fault."""

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
    """Scheme and host of the submit request, with a trailing slash. Every URL in a response begins with it."""
    webhook_url: str | None
    faults: Faults
    failure: Failure | None
    """None if it will complete."""
    submitted_at: float
    starts_at: float
    ends_at: float
    canceled: bool = False
    gateway_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    called_back: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after the first attempt of its callback, or if there will be none."""

    @property
    def state(self) -> Literal["queued", "running", "completed", "failed", "canceled"]:
        """The state at this moment."""
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
        """Whether the state is final."""
        return self.state in {"completed", "failed", "canceled"}

    def cancel(self) -> None:
        """Cancel the job, unless its faults say to ignore that."""
        if "cancel-ignored" not in self.faults:
            self.canceled = True


class Jobs:
    """All jobs since the start, in order of submission, with the faults that apply to all of them."""

    def __init__(self, render_seconds: float, faults: str) -> None:
        self.render_seconds = render_seconds
        self.faults_for_all = parse_faults(faults)
        self._jobs: dict[str, Job] = {}
        self._rejections: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def get(self, provider: Provider, job_id: str) -> Job | None:
        """Return a job of this provider, or None."""
        job = self._jobs.get(job_id)
        return job if job and job.provider == provider else None

    def faults_of(self, job_input: Any) -> Faults:
        """Merge the faults of an input with those set for all jobs; the input's numbers win."""
        # Set for all jobs, `jwks-down` is a state of the JWKS endpoint and not of any job.
        shared = {name: value for name, value in self.faults_for_all.items() if name != "jwks-down"}
        return {**shared, **faults_in(job_input)}

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
        """Add a job. It is billed from here on, even if the submit's response is lost."""
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

    def reject(self, faults: Faults, key: str) -> Literal[429, 503] | None:
        """Return the status with which the faults reject this request, and count it; None if it may pass.

        `key` is the job's id, or the fingerprint of the input.
        """
        statuses: tuple[tuple[str, Literal[429, 503]], ...] = (("429", 429), ("5xx", 503))
        for name, status in statuses:
            if self._rejections[f"{name} {key}"] < number(faults, name, 2):
                self._rejections[f"{name} {key}"] += 1
                return status
        return None

    def forget_rejections(self, key: str) -> None:
        """Reset the counts of an input, so that the next job with the same one is rejected again."""
        for name in ("429", "5xx"):
            self._rejections.pop(f"{name} {key}", None)


def fingerprint(model: str, job_input: Any) -> str:
    """Return a digest that is equal for equal models and inputs."""
    return hashlib.sha256(json.dumps([model, job_input], sort_keys=True).encode()).hexdigest()
