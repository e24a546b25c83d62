"""Finding files in a model's output, whose shape differs between models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.records import Output
from providers.reading import read_count, read_text
from providers.urls import read_http_url

MOST_OUTPUTS = 1000
"""Files kept of one outcome."""
DEEPEST = 64
"""Levels of nesting that are searched."""
MOST_CONTAINERS = 100_000
"""Mappings and lists that are searched, so that a body of brackets alone costs little."""


def find_files(payload: object, url_keys: Sequence[str]) -> tuple[Output, ...]:
    """List every file described in a payload, in document order, each URL once, at most `MOST_OUTPUTS`.

    A file is a mapping with an http(s) URL under one of `url_keys`. A URL that cannot be stored is left out.
    """
    found: dict[str, Output] = {}
    for mapping in _mappings(payload):
        for key in url_keys:
            url = read_http_url(mapping.get(key))
            if url is not None and url not in found:
                found[url] = _describe(url, mapping)
        if len(found) >= MOST_OUTPUTS:
            break
    return tuple(found.values())[:MOST_OUTPUTS]


def _describe(url: str, mapping: Mapping[str, Any]) -> Output:
    return Output(
        url=url,
        content_type=read_text(mapping.get("content_type"), 255),
        file_name=read_text(mapping.get("file_name"), 255),
        file_size=read_count(mapping.get("file_size")),
        width=read_count(mapping.get("width")),
        height=read_count(mapping.get("height")),
    )


def _mappings(payload: object) -> Iterator[Mapping[str, Any]]:
    pending: list[tuple[int, object]] = [(0, payload)]
    for _ in range(MOST_CONTAINERS):
        if not pending:
            return
        depth, value = pending.pop()
        children: Sequence[object] = ()
        if isinstance(value, dict):
            yield value
            children = list(value.values())
        elif isinstance(value, list):
            children = value
        if depth < DEEPEST:
            # Last in, first out: pushed in reverse, so that the first child comes next.
            pending += [(depth + 1, child) for child in reversed(children) if isinstance(child, dict | list)]
