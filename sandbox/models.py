"""The inputs that models require, and their results in the formats of the providers' documentation."""

from typing import Any

from sandbox.faults import Faults
from sandbox.jobs import Failure, Job
from sandbox.media import MEDIA, Medium

FACE_SWAP_APP = "half-moon-ai/ai-face-swap"


def failure_of(model: str, job_input: dict[str, Any], faults: Faults) -> Failure | None:
    """Return why this job will fail, or None if it will complete."""
    if missing := missing_fields(model, job_input):
        return Failure("missing", "Field required", tuple(missing))
    if "failed" in faults:
        # https://docs.fal.ai/errors#face_detection_error
        return Failure("face_detection_error", "No face was detected in the source image", tuple(job_input)[:1])
    return None


def missing_fields(model: str, job_input: dict[str, Any]) -> list[str]:
    """List the required fields that are missing. Only the face swaps and avatars have required fields."""
    if model == "FaceswapNode":
        required = ["source_image_url", "target_video_url"]
    elif model == "AvatarInferenceNode":
        required = ["avatar", "audio_list"]
    elif model.startswith(FACE_SWAP_APP):
        target = f"target_{_kind(model)}_url"
        required = ["source_face_url_1", "source_gender_1", target] if _multi(model) else ["source_face_url", target]
    else:
        required = []
    return [name for name in required if not job_input.get(name)]


def fal_result(job: Job) -> dict[str, Any]:
    """Return a job's result as fal does. Sizes are bytes and pixels, times milliseconds."""
    elapsed = round((job.ends_at - job.starts_at) * 1000)
    if _kind(job.model) == "video":
        return {"video": _file(job, MEDIA["swapped.mp4"]), "processing_time_ms": elapsed, "warning": None}
    image = _file(job, MEDIA["swapped.jpg" if _multi(job.model) else "swapped.png"])
    if job.model.startswith(FACE_SWAP_APP):
        return {"image": image, "processing_time_ms": elapsed}
    return {"images": [image], "timings": {"inference": elapsed / 1000}}


def fal_detail(failure: Failure) -> dict[str, Any]:
    """Return a failure as the result endpoint and the callback do, with an entry for each field at fault."""
    return {
        "detail": [
            {
                "loc": ["body", name],
                "msg": failure.message,
                "type": failure.kind,
                "url": f"https://docs.fal.ai/errors#{failure.kind}",
            }
            for name in failure.fields or ("__root__",)
        ]
    }


def heygen_output(job: Job, query: str) -> dict[str, Any]:
    """Return an execution's output as HeyGen does, with `query` on its URL."""
    url = f"{file_url(job, MEDIA['swapped.mp4'])}?{query}"
    if job.model == "FaceswapNode":
        return {"video_url": url}
    return {"video": {"video_url": url, "duration": MEDIA["swapped.mp4"].seconds}}


def file_url(job: Job, medium: Medium) -> str:
    """Return the URL of a job's file. It is different for each job."""
    return f"{job.base_url}files/{job.id}/{medium.name}"


def _file(job: Job, medium: Medium) -> dict[str, Any]:
    file = {
        "url": file_url(job, medium),
        "content_type": medium.content_type,
        "file_name": medium.name,
        "file_size": medium.size,
    }
    pixels = {"width": medium.width, "height": medium.height} if medium.content_type.startswith("image/") else {}
    return file | pixels


def _kind(model: str) -> str:
    # fal documents only faceswapvideo; the other three models are recognised by the words in their names.
    return "video" if "video" in model.rpartition("/")[2] else "image"


def _multi(model: str) -> bool:
    return "multi" in model.rpartition("/")[2]
