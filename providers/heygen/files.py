"""The files in a workflow's output: `output.video_url`, `output.video.video_url`, and alike for images and sound."""

from ledger.records import Output
from providers.find_files import find_files

_URL_KEYS = ("video_url", "image_url", "audio_url", "url")


def find_outputs(output: object) -> tuple[Output, ...]:
    """List every file of a workflow's output, in document order, each URL once."""
    return find_files(output, _URL_KEYS)
