"""The files in a model's output: {"video": {...}}, {"images": [...]}, or anywhere else."""

from ledger.records import Outcome, Output
from providers.find_files import find_files
from providers.reading import read_count, read_text


def find_outputs(payload: object) -> tuple[Output, ...]:
    """List every file of a model's output, in document order, each URL once.

    A file is a mapping with an http(s) `url`; its other fields are kept where they are valid.
    """
    return find_files(payload, ("url",))


def read_completion(payload: object) -> Outcome:
    """Read a model's output as a completed outcome, with its duration in ms and its warning when it has them."""
    fields = payload if isinstance(payload, dict) else {}
    outputs = find_outputs(payload)
    warning = read_text(fields.get("warning"))
    if not outputs and warning is None:
        warning = "fal completed the job, but its output names no file"
    duration = read_count(fields.get("processing_time_ms"))
    return Outcome.completed(outputs, processing_time_ms=duration, warning=warning)
