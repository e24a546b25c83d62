"""How the rooms say what happened: a past-tense name and its fields. Who listens is the process's business."""

from typing import Protocol


class Emit(Protocol):
    """Take one fact. Fields are identifiers, words and numbers, never secrets, headers or bodies."""

    def __call__(self, fact: str, /, **fields: object) -> None:
        """Emit `fact`, such as `job.submitted`, with its fields."""
