"""The files in a model's output: {"video": {...}}, {"images": [...]}, {"video_url": "..."}, or anywhere else."""

from ledger.records import Outcome
from providers.find_files import Files, find_files
from providers.reading import read_count, read_text


def find_outputs(payload: object) -> Files:
    """Find every file of a model's output. The fields beside a `url` describe its file."""
    return find_files(payload, ("url",))


def read_completion(payload: object) -> Outcome:
    """Read a model's output as a completed outcome, with its duration in ms and its warning when it has them."""
    fields = payload if isinstance(payload, dict) else {}
    files = find_outputs(payload)
    return Outcome.completed(
        files.outputs,
        processing_time_ms=read_count(fields.get("processing_time_ms")),
        warning=files.warning(provider="fal", said=read_text(fields.get("warning"))),
    )
