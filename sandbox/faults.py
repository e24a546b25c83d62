"""What can go wrong on request: each fault by its name, and the sentence that says what it does."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urldefrag

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "lost": "The callback is never sent.",
        "late": "The callback is sent N seconds (3) after the job has finished.",
        "duplicate": "The callback is sent N times (2), each until it is acknowledged.",
        "reordered": "The callback waits until another job's callback was acknowledged, N seconds (5) at the most.",
        "tampered": "The callback's status is changed after signing, in its first N attempts (all).",
        "stale": "The callback is signed and dated N seconds (301) ago, in every attempt.",
        "other-account": "The callback is signed for another account's user id, in its first N attempts (all).",
        "huge": "The callback's payload is larger than N megabytes (10). The result by poll is as usual.",
        "null-payload": "The callback says OK with payload null and a payload_error. The result by poll is as usual.",
        "failed": "The job fails: ERROR callback and COMPLETED, then 422, at fal; failed at HeyGen.",
        "conflict": "A second callback, once the first is acknowledged, tells the opposite outcome.",
        "key-rotated": "A new key signs the callback; the JWKS serves it, after the one before.",
        "jwks-down": "The JWKS answers 503: to the N reads (2) after the job finished, or, set for all, always.",
        "slow": "The job is accepted and starts, but the submit is answered N seconds (5) later.",
        "429": "The first N submits (2) of an input, and the first N polls (2) of its job, are answered 429.",
        "5xx": "The first N submits (2) of an input, and the first N polls (2) of its job, are answered 503.",
        "refused": "The submit is refused for good: 422 at fal, 400 at HeyGen. There is no job.",
        "silent": "The job is accepted and billed, and the submit's connection is dropped without an answer.",
        "early": "The job finishes at once, and its callback is sent, and its answer awaited, before the submit's.",
        "long": "The job takes N seconds (60) from submit to end, instead of the usual.",
        "cancel-ignored": "A cancel is answered 202, but the job completes and calls back all the same.",
        "sunset": "HeyGen's answers carry Deprecation and Sunset headers.",
    }
)

Faults = Mapping[str, float | None]
"""Fault name to the number that was asked for with it, if any."""


class UnknownFaultError(ValueError):
    """A fault nobody has defined, or a number that is none."""


def parse_faults(text: str) -> Faults:
    """Read `duplicate,slow=3`.

    Returns: each name with its number or None. An empty text means no faults.
    """
    faults: dict[str, float | None] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = word.partition("=")
        if name not in FAULTS:
            raise UnknownFaultError(f"unknown fault {name!r}; known are {', '.join(FAULTS)}")
        try:
            faults[name] = float(number) if number else None
        except ValueError:
            raise UnknownFaultError(f"fault {name!r} takes a number, not {number!r}") from None
    return faults


def faults_asked_for(job_input: Any) -> Faults:
    """Collect the faults in the fragments of all URLs of an input, such as `https://a.example/b.mp4#fault=lost`."""
    faults: dict[str, float | None] = {}
    for text in _strings(job_input):
        fragment = urldefrag(text).fragment
        if fragment.startswith("fault="):
            faults.update(parse_faults(fragment.removeprefix("fault=")))
    return faults


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "#fault=" in value:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def number(faults: Faults, name: str, default: float) -> float:
    """Return the number that came with a fault, or its default; 0 when the fault is not asked for."""
    if name not in faults:
        return 0
    asked = faults[name]
    return default if asked is None else asked
