"""The files in a workflow's output: `output.video_url`, `output.video.video_url`, and alike for images and sound."""

from providers.find_files import Files, find_files

_URL_KEYS = ("video_url", "image_url", "audio_url", "url")


def find_outputs(output: object) -> Files:
    """Find every file of a workflow's output."""
    return find_files(output, _URL_KEYS)
