"""A stream of errands that outlives whoever takes them, and what must have become of each."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from tests.process.errands import Errand
from tests.process.house import House

MIX = (
    *(("fal", faults) for faults in ("", "", "lost", "duplicate", "late=1.5", "failed", "slow=0.5", "5xx=1", "silent")),
    *(("heygen", faults) for faults in ("", "", "failed", "slow=0.3")),
)


@dataclass
class Stream:
    """What was asked for: each errand until it is answered, under one Idempotency-Key."""

    accepted: dict[str, Errand] = field(default_factory=dict)
    unanswered: deque[Errand] = field(default_factory=deque)
    again: int = 0

    def ask(self, house: House, errand: Errand) -> None:
        job_id = house.ask(errand)
        if job_id is None:
            self.unanswered.append(errand)
            self.again += 1
        else:
            assert self.accepted.setdefault(job_id, errand) is errand


def judge_jobs(house: House, stream: Stream, counts: Counter[str]) -> None:
    jobs = {row["id"]: row for row in house.rows("SELECT id, state, source, error_code FROM jobs")}
    assert jobs.keys() == stream.accepted.keys()
    events: dict[str, list[str]] = {}
    for row in house.rows("SELECT subject, type FROM events ORDER BY subject, sequence"):
        events.setdefault(row["subject"], []).append(row["type"].removeprefix("job."))
    taken = Counter(mark for mark in marks_submitted(house))
    wrong = []
    for job_id, errand in stream.accepted.items():
        job, times = jobs[job_id], taken[errand.mark]
        counts[f"{errand.provider} {job['state']}"] += 1
        counts["once unconfirmed"] += "unconfirmed" in events[job_id]
        if not right(errand, job, events[job_id], times):
            wrong.append((errand, job, events[job_id], f"{times} submissions"))
        if job["state"] == "expired":
            counts[f"expired as unconfirmed, {times} submissions"] += 1
    assert wrong == []
    counts["jobs"] = len(jobs)


def marks_submitted(house: House) -> list[str]:
    http, sandbox = house.neighbours.http, house.neighbours.sandbox
    taken: list[dict[str, Any]] = http.get(f"{sandbox}/sandbox/submissions", timeout=30).json()
    return [each["input"]["target_video_url"].rpartition("/")[2].partition(".mp4")[0] for each in taken]


def right(errand: Errand, job: dict[str, Any], events: list[str], submissions: int) -> bool:
    """The one outcome of the errand; or, when a kill cut the submit and nobody can call back, loudly expired."""
    if job["state"] == "expired":
        silent = errand.provider == "heygen" or errand.faults == "lost" or submissions == 0
        return job["error_code"] == "unconfirmed" and "unconfirmed" in events and submissions <= 1 and silent
    return job["state"] == ("failed" if errand.faults == "failed" else "completed") and submissions == 1


def judge_deliveries(house: House, stream: Stream, counts: Counter[str]) -> None:
    deliveries = house.rows("SELECT id, subject, state FROM deliveries")
    received = house.neighbours.received()
    assert {row["state"] for row in deliveries} == {"delivered"}
    assert {row["id"] for row in deliveries} == {each["webhook_id"] for each in received}
    assert {row["subject"] for row in deliveries} == stream.accepted.keys()
    assert all(each["verified"] for each in received)
    told = Counter((each["job_id"], each["type"]) for each in received)
    assert max(told.values()) == 1
    counts["deliveries"] = len(deliveries)
    counts["told again under the same id"] = sum(each["attempts"] for each in received) - len(received)
