"""Lists, page by page: newest first, after a cursor."""

from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

import msgspec

Limit = Annotated[int, msgspec.Meta(ge=1, le=200, description="a whole number from 1 to 200")]
"""How many entries a page has at most."""


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a list: how many entries, and after which one."""

    limit: Limit = 50
    cursor: Annotated[str | None, msgspec.Meta(description="the next_cursor of the page before")] = None


class Identified(Protocol):
    """A row with an identifier."""

    @property
    def id(self) -> str:
        """Its identifier; rows are sorted by it."""


Entry = TypeVar("Entry", bound=Identified)


def cut_page(found: Sequence[Entry], limit: int) -> tuple[Sequence[Entry], str | None]:
    """Cut what was read, `limit` rows and one more if there is one, to a page and its next cursor."""
    page = found[:limit]
    return page, page[-1].id if len(found) > limit else None
