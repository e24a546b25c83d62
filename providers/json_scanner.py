"""JSON as some writers make it and strict decoders refuse it, and JSON with more values than can be decoded at once.

It reads lone surrogates, bytes that are no UTF-8, NaN, Infinity, numbers of any size, a byte order mark and thousands
of levels of nesting. It takes time in proportion to the bytes, in steps of about a millisecond, so that other threads
go on. After `KEPT_TOKENS` it keeps only what may be about a file or an outcome, so that memory is bounded.
"""

import codecs
import json
import re
from typing import Any

from providers.errors import Malformed

MOST_TOKENS = 2_000_000
"""Strings, names, numbers and brackets of one text, without those that are skipped."""

MOST_LEVELS = 100_000

KEPT_TOKENS = 100_000
"""Up to here everything is kept. A list of more numbers, for example, is then read without its other numbers."""

KEPT_URLS = 20_000
"""URLs that are kept after that. The others are counted."""

KEPT_FIELDS = 100
"""Fields without a URL that each object keeps after that."""

_OUTERMOST = 2
"""Levels of the objects that keep inner objects without a URL after that: an error may come after a long output."""

_STRING = rb'"([^"\\]{0,4096}+(?:\\.[^"\\]{0,4096}+){0,1000}+)"'
_TOKEN = re.compile(
    rb"[\s,:]{0,65536}+(?:" + _STRING + rb'|([\[{])|([\]}])|([^\s,:"\[\]{}]{1,65536}+)|(")|(\Z)|(?=[\s,:]))', re.DOTALL
)
_STRING_KIND, _OPENING, _CLOSING, _WORD, _LONG_STRING, _END = range(1, 7)
_PIECE = re.compile(rb'[^"\\]{0,65536}+(?:\\.[^"\\]{0,4096}+){0,1000}+', re.DOTALL)
_WORD_PIECE = re.compile(rb'[^\s,:"\[\]{}]{0,65536}+')
_URL = re.compile(rb"\s*+(?:https?|data):", re.IGNORECASE)
_URL_STRING = re.compile(rb'"\s{0,16}+(?:https?|data):', re.IGNORECASE)

_NAME = rb'"[^"\\]{0,4096}+(?:\\.[^"\\]{0,4096}+){0,16}+"'
_NO_URL = rb"(?!\"\s*+(?:[hH][tT][tT][pP][sS]?|[dD][aA][tT][aA]):)" + _NAME
_SKIPPED_WORD = rb'[^\s,:"\[\]{}]{1,400}+'


def _skipping(string: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Make what skips the rest of a list and of an object, as far as it is made of words and of such strings.

    Lists and objects in it are skipped too, three levels of them. The last one of too many is not skipped in part.
    """
    value = _SKIPPED_WORD + rb"|" + string
    for _ in range(3):
        inner = rb'(?:[^"\[\]{}]{1,4096}+|' + value + rb"){0,16}+"
        value = _SKIPPED_WORD + rb"|" + string + rb"|\[" + inner + rb"\]|\{" + inner + rb"\}"
    values = rb"(?:[\s,]{0,4096}+(?:" + value + rb")){0,64}+"
    fields = rb"(?:[\s,]{0,4096}+" + _NAME + rb"\s{0,16}+:\s{0,16}+(?:" + value + rb")(?=[\s,}])){0,64}+"
    return re.compile(values, re.DOTALL), re.compile(fields, re.DOTALL)


_SKIP_WITHOUT_URLS, _SKIP_WITH_URLS = _skipping(_NO_URL), _skipping(_NAME)

_WORD_BYTES = 400
"""Bytes that are read of a number. One with more digits is infinite."""

_WORDS = {b"true": True, b"false": False, b"null": None}
_ESCAPES = json.JSONDecoder(strict=False)


class LeftOut:
    """Stands in a list, or under the name "" in an object, for URLs that were not kept."""

    def __init__(self, urls: int) -> None:
        self.urls = urls


def scan_json(body: bytes) -> Any:
    """Read one JSON value. Raises `Malformed` for anything else, and beyond `MOST_TOKENS` and `MOST_LEVELS`."""
    return _Scanner(_as_utf8(body)).read()


class _Open:
    """An object or list that is not closed yet. `name` is that of the value that comes next in an object."""

    __slots__ = ("has_url", "left_out", "name", "value")

    def __init__(self, value: "dict[str, Any] | list[Any]") -> None:
        self.value = value
        self.name: str | None = None
        self.has_url = False
        self.left_out = 0


class _Scanner:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._roots: list[Any] = []
        self._open: list[_Open] = [_Open(self._roots)]
        self._sparing = False
        self._urls = 0

    def read(self) -> Any:
        position = 0
        for number in range(MOST_TOKENS):
            self._sparing = number > KEPT_TOKENS
            if self._sparing:
                position = self._skip(position)
            match = _TOKEN.match(self._body, position)
            if match is None:
                raise Malformed(f"not JSON at byte {position}")
            position = match.end()
            kind = match.lastindex
            if kind == _STRING_KIND:
                self._add_string(match.start(1), match.end(1))
            elif kind == _WORD:
                position = self._add_word(match.start(_WORD), position)
            elif kind == _OPENING:
                self._begin({} if match[_OPENING] == b"{" else [])
            elif kind == _CLOSING:
                self._end(dict if match[_CLOSING] == b"}" else list)
            elif kind == _LONG_STRING:
                position = self._add_long_string(position)
            elif kind == _END:
                return self._root()
        raise Malformed(f"JSON of more than {MOST_TOKENS} values")

    def _skip(self, start: int) -> int:
        """Skip what would not be kept in the list or object that is open, and count the URLs in it."""
        parent = self._open[-1]
        in_list = type(parent.value) is list
        if len(self._open) == 1 or (not in_list and (parent.name is not None or len(parent.value) < KEPT_FIELDS)):
            return start
        only_counted = self._urls >= KEPT_URLS
        skip_values, skip_fields = _SKIP_WITH_URLS if only_counted else _SKIP_WITHOUT_URLS
        match = (skip_values if in_list else skip_fields).match(self._body, start)
        if match is None or match.end() == start:
            return start
        if only_counted:
            parent.left_out += len(_URL_STRING.findall(self._body, start, match.end()))
        return match.end()

    def _root(self) -> Any:
        if len(self._open) > 1:
            raise Malformed("JSON that ends too early")
        if len(self._roots) != 1:
            raise Malformed(f"not one JSON value but {len(self._roots)}")
        return self._roots[0]

    def _add_string(self, start: int, end: int) -> None:
        parent = self._open[-1]
        if type(parent.value) is dict and parent.name is None:
            parent.name = _read_string(self._body[start:end])
        elif _URL.match(self._body, start, end):
            self._add_url(parent, start, end)
        elif self._keeps_fields(parent):
            self._put(parent, _read_string(self._body[start:end]))
        else:
            parent.name = None

    def _add_url(self, parent: _Open, start: int, end: int) -> None:
        if self._sparing and self._urls >= KEPT_URLS:
            parent.left_out += 1
            parent.name = None
            return
        self._urls += self._sparing
        parent.has_url = True
        self._put(parent, _read_string(self._body[start:end]))

    def _add_long_string(self, start: int) -> int:
        end = start
        while self._body[end : end + 1] != b'"':
            match = _PIECE.match(self._body, end)
            if match is None or match.end() == end:
                raise Malformed("JSON that ends in a string")
            end = match.end()
        self._add_string(start, end)
        return end + 1

    def _add_word(self, start: int, end: int) -> int:
        long = end - start == 65_536
        while long and (match := _WORD_PIECE.match(self._body, end)) is not None and match.end() > end:
            end = match.end()
        parent = self._open[-1]
        value = _read_word(self._body[start : min(end, start + _WORD_BYTES)], start)
        if type(parent.value) is dict and parent.name is None:
            raise Malformed(f"not JSON at byte {start}: a name is no string")
        if self._keeps_fields(parent):
            self._put(parent, value)
        else:
            parent.name = None
        return end

    def _keeps_fields(self, parent: _Open) -> bool:
        if not self._sparing or len(self._open) == 1:
            return True
        return type(parent.value) is dict and len(parent.value) < KEPT_FIELDS

    def _begin(self, value: "dict[str, Any] | list[Any]") -> None:
        parent = self._open[-1]
        if type(parent.value) is dict and parent.name is None:
            raise Malformed("not JSON: an object has a value without a name")
        if len(self._open) > MOST_LEVELS:
            raise Malformed(f"JSON of more than {MOST_LEVELS} levels")
        self._open.append(_Open(value))

    def _end(self, kind: type) -> None:
        closed = self._open.pop()
        if type(closed.value) is not kind or not self._open:
            raise Malformed("not JSON: a bracket closes what is not open")
        parent = self._open[-1]
        parent.has_url |= closed.has_url
        if closed.has_url or not self._sparing or self._keeps_inner(parent):
            if closed.left_out:
                _put_left_out(closed)
            self._put(parent, closed.value)
        else:
            parent.left_out += closed.left_out
            parent.name = None

    def _keeps_inner(self, parent: _Open) -> bool:
        return len(self._open) <= 1 + _OUTERMOST and self._keeps_fields(parent)

    def _put(self, parent: _Open, value: Any) -> None:
        into = parent.value
        if isinstance(into, list):
            into.append(value)
        elif parent.name is not None:
            into[parent.name] = value
            parent.name = None


def _put_left_out(closed: _Open) -> None:
    into, left_out = closed.value, LeftOut(closed.left_out)
    if isinstance(into, list):
        into.append(left_out)
    else:
        into[""] = [into[""], left_out] if "" in into else left_out


def _read_string(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    try:
        read: str = _ESCAPES.decode(f'"{text}"')
    except ValueError:  # an escape that JSON does not have
        return text
    return read


def _read_word(word: bytes, start: int) -> object:
    if word in _WORDS:
        return _WORDS[word]
    try:
        return int(word) if len(word) < _WORD_BYTES and word.lstrip(b"-").isdigit() else float(word)
    except ValueError:
        raise Malformed(f"not JSON at byte {start}") from None


def _as_utf8(body: bytes) -> bytes:
    if body.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :]
    encoding = json.detect_encoding(body[:4])
    if encoding.startswith("utf-8"):
        return body
    return body.decode(encoding, "replace").encode("utf-8", "replace")
