"""Jobs that tests ask for, each with a mark of its own by which the sandbox's submissions are told apart."""

import uuid
from dataclasses import dataclass, field
from typing import Any

VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
FACE = "https://example.com/face.jpg"


@dataclass(frozen=True, kw_only=True)
class Errand:
    """One job to ask for. `faults` are the sandbox's."""

    provider: str = "fal"
    faults: str = ""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def body(self) -> dict[str, Any]:
        """The request as a client writes it."""
        target = f"https://example.com/{self.mark}.mp4" + (f"#fault={self.faults}" if self.faults else "")
        if self.provider == "heygen":
            given = {"source_image_url": FACE, "target_video_url": target}
            return {"provider": "heygen", "model": "FaceswapNode", "input": given}
        return {"provider": "fal", "model": VIDEO_SWAP, "input": {"source_face_url": FACE, "target_video_url": target}}
