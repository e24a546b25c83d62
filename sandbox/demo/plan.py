"""The demo's errands, what must come of each, and the words for what came instead."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FACE = "https://example.com/face.jpg"
VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
IMAGE_SWAP = "half-moon-ai/ai-face-swap/faceswapimage"
TERMINAL = frozenset({"completed", "failed", "canceled", "expired"})


@dataclass(frozen=True, kw_only=True)
class Errand:
    """One job to submit, and the end it must come to. `receipts` counts by result."""

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
        """How many callbacks the receiver must have acknowledged."""
        return sum(self.receipts.values()) if self.source == "callback" else 0


PLAN = (
    Errand(
        name="video swap, called back",
        provider="fal",
        model=VIDEO_SWAP,
        input={"source_face_url": FACE, "target_video_url": "https://example.com/a.mp4"},
        source="callback",
        receipts={"recorded": 1},
    ),
    Errand(
        name="image swap, callback lost",
        provider="fal",
        model=IMAGE_SWAP,
        input={"source_face_url": FACE, "target_image_url": "https://example.com/b.png#fault=lost"},
        source="poll",
        receipts={"recorded": 1},
    ),
    Errand(
        name="HeyGen swap, polled",
        provider="heygen",
        model="FaceswapNode",
        input={"source_image_url": FACE, "target_video_url": "https://example.com/c.mp4"},
        source="poll",
        receipts={"recorded": 1},
    ),
    Errand(
        name="video swap, fails",
        provider="fal",
        model=VIDEO_SWAP,
        input={"source_face_url": FACE, "target_video_url": "https://example.com/d.mp4#fault=failed"},
        state="failed",
        source="callback",
        outputs=0,
        receipts={"recorded": 1},
    ),
    Errand(
        name="image swap, called back twice",
        provider="fal",
        model=IMAGE_SWAP,
        input={"source_face_url": FACE, "target_image_url": "https://example.com/e.png#fault=duplicate"},
        source="callback",
        receipts={"recorded": 1, "duplicate": 1},
    ),
)


@dataclass(kw_only=True)
class Followed:
    """An errand under way: the job as the API last told it, and who else has heard of it."""

    errand: Errand
    job: dict[str, Any]
    notified: set[str] = field(default_factory=set)
    """Event types of this job that the consumer has verified."""
    acknowledged: int = 0
    """Callbacks of this job that the receiver answered 2xx."""

    @property
    def ended(self) -> bool:
        """Whether the job's state is final."""
        return self.job["state"] in TERMINAL

    @property
    def expected_events(self) -> set[str]:
        """What the consumer must hear. A callback that beats the submit's answer leaves no `job.submitted`."""
        submitted, finalized = self.job.get("submitted_at"), self.job.get("finalized_at")
        return {f"job.{self.job['state']}"} | ({"job.submitted"} if submitted and submitted != finalized else set())

    @property
    def settled(self) -> bool:
        """Whether nothing more is to come."""
        return self.ended and self.notified >= self.expected_events and self.acknowledged >= self.errand.callbacks


@dataclass(kw_only=True)
class Recorded:
    """What the database holds of one job."""

    state: str
    source: str | None
    outputs: list[tuple[str, str | None, int | None]] = field(default_factory=list)
    """URL, content type, size in bytes."""
    receipts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Counts by (source, result)."""
    deliveries: list[tuple[str, str, int]] = field(default_factory=list)
    """Event type, state, attempts."""


def differences(followed: Followed, recorded: Recorded | None) -> list[str]:
    """Compare an errand's end with what it must be.

    Returns: one sentence for each difference; none when all is well.
    """
    errand = followed.errand
    if recorded is None:
        return [f"{errand.name}: the database does not know job {followed.job['id']}"]
    by_result: Counter[str] = Counter()
    for (_, result), count in recorded.receipts.items():
        by_result[result] += count
    told = {
        "state in the API": (followed.job["state"], errand.state),
        "state": (recorded.state, errand.state),
        "source": (recorded.source, errand.source),
        "number of outputs": (len(recorded.outputs), errand.outputs),
        "receipts": (dict(by_result), dict(errand.receipts)),
        "callbacks acknowledged": (followed.acknowledged, errand.callbacks),
        "events verified by the consumer": (sorted(followed.notified), sorted(followed.expected_events)),
        "delivery states": (sorted({state for _, state, _ in recorded.deliveries}), ["delivered"]),
    }
    return [
        f"{errand.name}: {what} is {found!r}, expected {expected!r}"
        for what, (found, expected) in told.items()
        if found != expected
    ]
