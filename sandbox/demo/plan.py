"""The demo's jobs, their expected results, and the comparison with what was recorded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FACE = "https://example.com/face.jpg"
VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
IMAGE_SWAP = "half-moon-ai/ai-face-swap/faceswapimage"
TERMINAL = frozenset({"completed", "failed", "canceled", "expired"})


@dataclass(frozen=True, kw_only=True)
class PlannedJob:
    """A job to submit, and its expected result. `receipts` are counts by result."""

    name: str
    provider: str
    model: str
    input: Mapping[str, Any]
    state: str = "completed"
    source: str
    outputs: int = 1
    receipts: Mapping[str, int]

    @property
    def callbacks(self) -> int:
        """How many callbacks the receiver must acknowledge."""
        return sum(self.receipts.values()) if self.source == "callback" else 0


PLAN = (
    PlannedJob(
        name="video swap, called back",
        provider="fal",
        model=VIDEO_SWAP,
        input={"source_face_url": FACE, "target_video_url": "https://example.com/a.mp4"},
        source="callback",
        receipts={"recorded": 1},
    ),
    PlannedJob(
        name="image swap, callback lost",
        provider="fal",
        model=IMAGE_SWAP,
        input={"source_face_url": FACE, "target_image_url": "https://example.com/b.png#fault=lost"},
        source="poll",
        receipts={"recorded": 1},
    ),
    PlannedJob(
        name="HeyGen swap, polled",
        provider="heygen",
        model="FaceswapNode",
        input={"source_image_url": FACE, "target_video_url": "https://example.com/c.mp4"},
        source="poll",
        receipts={"recorded": 1},
    ),
    PlannedJob(
        name="video swap, fails",
        provider="fal",
        model=VIDEO_SWAP,
        input={"source_face_url": FACE, "target_video_url": "https://example.com/d.mp4#fault=failed"},
        state="failed",
        source="callback",
        outputs=0,
        receipts={"recorded": 1},
    ),
    PlannedJob(
        name="image swap, called back twice",
        provider="fal",
        model=IMAGE_SWAP,
        input={"source_face_url": FACE, "target_image_url": "https://example.com/e.png#fault=duplicate"},
        source="callback",
        receipts={"recorded": 1, "duplicate": 1},
    ),
)


@dataclass(kw_only=True)
class TrackedJob:
    """A submitted job as the receiver's API, the consumer and the sandbox last showed it."""

    plan: PlannedJob
    job: dict[str, Any]
    notified: set[str] = field(default_factory=set)
    """Event types of this job that the consumer has verified."""
    acknowledged: int = 0
    """Callbacks of this job that the receiver answered with 2xx."""

    @property
    def ended(self) -> bool:
        """Whether the job's state is terminal."""
        return self.job["state"] in TERMINAL

    @property
    def expected_events(self) -> set[str]:
        """Event types to notify. A callback that precedes the submit's response leaves no `job.submitted`."""
        submitted, finalized = self.job.get("submitted_at"), self.job.get("finalized_at")
        return {f"job.{self.job['state']}"} | ({"job.submitted"} if submitted and submitted != finalized else set())

    @property
    def settled(self) -> bool:
        """Whether the job has ended and all its events and callbacks have arrived."""
        return self.ended and self.notified >= self.expected_events and self.acknowledged >= self.plan.callbacks


@dataclass(kw_only=True)
class RecordedJob:
    """A job as the database has it."""

    state: str
    source: str | None
    outputs: list[tuple[str, str | None, int | None]] = field(default_factory=list)
    """URL, content type, size in bytes."""
    receipts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Counts by (source, result)."""
    deliveries: list[tuple[str, str, int]] = field(default_factory=list)
    """Event type, state, attempts."""


def differences(tracked: TrackedJob, recorded: RecordedJob | None) -> list[str]:
    """Compare a job's result with the plan and return a message for each difference."""
    plan = tracked.plan
    if recorded is None:
        return [f"{plan.name}: the database has no job {tracked.job['id']}"]
    by_result: Counter[str] = Counter()
    for (_, result), count in recorded.receipts.items():
        by_result[result] += count
    checks = {
        "state in the API": (tracked.job["state"], plan.state),
        "state": (recorded.state, plan.state),
        "source": (recorded.source, plan.source),
        "number of outputs": (len(recorded.outputs), plan.outputs),
        "receipts": (dict(by_result), dict(plan.receipts)),
        "callbacks acknowledged": (tracked.acknowledged, plan.callbacks),
        "events verified by the consumer": (sorted(tracked.notified), sorted(tracked.expected_events)),
        "delivery states": (sorted({state for _, state, _ in recorded.deliveries}), ["delivered"]),
    }
    return [
        f"{plan.name}: {what} is {found!r}, expected {expected!r}"
        for what, (found, expected) in checks.items()
        if found != expected
    ]
