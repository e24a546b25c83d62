"""Jobs that tests submit, each with a mark that identifies its submissions at the sandbox."""

import uuid
from dataclasses import dataclass, field
from typing import Any

VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
FACE = "https://example.com/face.jpg"


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """One job to submit. `faults` are the sandbox's."""

    provider: str = "fal"
    faults: str = ""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def body(self) -> dict[str, Any]:
        """The body of POST /v1/jobs."""
        target = f"https://example.com/{self.mark}.mp4" + (f"#fault={self.faults}" if self.faults else "")
        if self.provider == "heygen":
            given = {"source_image_url": FACE, "target_video_url": target}
            return {"provider": "heygen", "model": "FaceswapNode", "input": given}
        return {"provider": "fal", "model": VIDEO_SWAP, "input": {"source_face_url": FACE, "target_video_url": target}}
