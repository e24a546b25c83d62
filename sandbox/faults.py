"""The faults that a job can request: names, descriptions, and how they are written."""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "lost": "The callback is never sent.",
        "late": "The callback is sent N seconds (3) after the job has finished.",
        "duplicate": "The callback is sent N times (2), each until it is acknowledged.",
        "reordered": "The callback waits until another job's callback is acknowledged, at most N seconds (5).",
        "tampered": "The callback's status is changed after signing, in its first N attempts (all).",
        "stale": "The callback's signed timestamp is N seconds (301) old, in every attempt.",
        "other-account": "The callback is signed for another account's user id, in its first N attempts (all).",
        "huge": "The callback's payload is larger than N megabytes (10). The result by poll is as usual.",
        "null-payload": "The callback says OK with payload null and a payload_error. The result by poll is as usual.",
        "failed": "The job fails: ERROR callback and COMPLETED, then 422, at fal; failed at HeyGen.",
        "conflict": "A second callback, sent once the first is acknowledged, has the opposite outcome.",
        "key-rotated": "A new key signs the callback; the JWKS serves it, after the previous one.",
        "jwks-down": "The JWKS answers 503: to the N reads (2) after the job has finished; set for all jobs, always.",
        "slow": "The job is accepted and starts, but the submit is answered N seconds (5) later.",
        "429": "The first N submits (2) of an input, and the first N polls (2) of its job, are answered 429.",
        "5xx": "The first N submits (2) of an input, and the first N polls (2) of its job, are answered 503.",
        "refused": "The submit is rejected: 422 at fal, 400 at HeyGen. No job is created.",
        "silent": "The job is accepted and billed, and the submit's connection is dropped without a response.",
        "early": "The job finishes at once, and its callback is sent and answered before the submit is answered.",
        "long": "The job takes N seconds (60) from submit to end, instead of --render-seconds.",
        "cancel-ignored": "A cancel is answered 202, but the job completes and sends its callback.",
        "sunset": "HeyGen's responses have Deprecation and Sunset headers.",
    }
)

MOST, MOST_MEGABYTES = 86_400, 100
"""The largest number of a fault, and of `huge`, which is held in memory."""

Faults = Mapping[str, float | None]
"""Fault name to its number, if one was given."""


class UnknownFaultError(ValueError):
    """A name that is not a fault, or a value that is not a number in its range."""


def parse_faults(text: str) -> Faults:
    """Parse `duplicate,slow=3` to a mapping of names to numbers. Raises UnknownFaultError."""
    faults: dict[str, float | None] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = word.partition("=")
        if name not in FAULTS:
            raise UnknownFaultError(f"unknown fault {name!r}; known are {', '.join(FAULTS)}")
        faults[name] = _parse_number(name, number) if number else None
    return faults


def _parse_number(name: str, text: str) -> float:
    most = MOST_MEGABYTES if name == "huge" else MOST
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise UnknownFaultError(f"fault {name!r} takes a number from 0 to {most}, not {text!r}")
    return value


def faults_in(job_input: Any) -> Faults:
    """Collect the faults in the URL fragments of an input, such as `https://a.example/b.mp4#fault=lost`."""
    faults: dict[str, float | None] = {}
    for text in _strings(job_input):
        fragment = text.partition("#")[2]
        if fragment.startswith("fault="):
            faults.update(parse_faults(fragment.removeprefix("fault=")))
    return faults


def _strings(job_input: Any) -> Iterator[str]:
    values = [job_input]
    while values:
        value = values.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            values += reversed(list(value.values()))
        elif isinstance(value, list):
            values += reversed(value)


def number(faults: Faults, name: str, default: float) -> float:
    """Return a fault's number, or `default` if it has none, or 0 if the fault is not requested."""
    if name not in faults:
        return 0
    given = faults[name]
    return default if given is None else given
