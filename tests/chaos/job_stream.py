"""A stream of job requests that outlives the receivers that accept them, and the outcome that each must have."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from tests.process.deployment import Deployment
from tests.process.job_requests import JobRequest

MIX = (
    *(("fal", faults) for faults in ("", "", "lost", "duplicate", "late=1.5", "failed", "slow=0.5", "5xx=1", "silent")),
    *(("heygen", faults) for faults in ("", "", "failed", "slow=0.3")),
)


@dataclass
class JobStream:
    """The jobs submitted: each request is repeated under its Idempotency-Key until it is answered."""

    accepted: dict[str, JobRequest] = field(default_factory=dict)
    unanswered: deque[JobRequest] = field(default_factory=deque)
    resubmitted: int = 0

    def submit(self, deployment: Deployment, job_request: JobRequest) -> None:
        job_id = deployment.submit(job_request)
        if job_id is None:
            self.unanswered.append(job_request)
            self.resubmitted += 1
        else:
            assert self.accepted.setdefault(job_id, job_request) is job_request


def check_jobs(deployment: Deployment, stream: JobStream, counts: Counter[str]) -> None:
    jobs = {row["id"]: row for row in deployment.rows("SELECT id, state, source, error_code FROM jobs")}
    assert jobs.keys() == stream.accepted.keys()
    events: dict[str, list[str]] = {}
    for row in deployment.rows("SELECT subject, type FROM events ORDER BY subject, sequence"):
        events.setdefault(row["subject"], []).append(row["type"].removeprefix("job."))
    taken = Counter(mark for mark in marks_submitted(deployment))
    wrong = []
    for job_id, job_request in stream.accepted.items():
        job, times = jobs[job_id], taken[job_request.mark]
        counts[f"{job_request.provider} {job['state']}"] += 1
        counts["once unconfirmed"] += "unconfirmed" in events[job_id]
        if not is_expected(job_request, job, events[job_id], times):
            wrong.append((job_request, job, events[job_id], f"{times} submissions"))
        if job["state"] == "expired":
            counts[f"expired as unconfirmed, {times} submissions"] += 1
    assert wrong == []
    counts["jobs"] = len(jobs)


def marks_submitted(deployment: Deployment) -> list[str]:
    http, sandbox = deployment.services.http, deployment.services.sandbox
    taken: list[dict[str, Any]] = http.get(f"{sandbox}/sandbox/submissions", timeout=30).json()
    return [each["input"]["target_video_url"].rpartition("/")[2].partition(".mp4")[0] for each in taken]


def is_expected(job_request: JobRequest, job: dict[str, Any], events: list[str], submissions: int) -> bool:
    """Whether it has the outcome of its request, or expired with a warning after a kill during its submission."""
    if job["state"] == "expired":
        silent = job_request.provider == "heygen" or job_request.faults == "lost" or submissions == 0
        return job["error_code"] == "unconfirmed" and "unconfirmed" in events and submissions <= 1 and silent
    return job["state"] == ("failed" if job_request.faults == "failed" else "completed") and submissions == 1


def check_deliveries(deployment: Deployment, stream: JobStream, counts: Counter[str]) -> None:
    deliveries = deployment.rows("SELECT id, subject, state FROM deliveries")
    received = deployment.services.received()
    assert {row["state"] for row in deliveries} == {"delivered"}
    assert {row["id"] for row in deliveries} == {each["webhook_id"] for each in received}
    assert {row["subject"] for row in deliveries} == stream.accepted.keys()
    assert all(each["verified"] for each in received)
    delivered = Counter((each["job_id"], each["type"]) for each in received)
    assert max(delivered.values()) == 1
    counts["deliveries"] = len(deliveries)
    counts["delivered again under the same id"] = sum(each["attempts"] for each in received) - len(received)
