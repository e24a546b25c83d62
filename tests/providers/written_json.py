"""JSON as the standard writers of Python, JavaScript and Go make it of any value."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st


def nested(value: Any) -> Any:
    """Put a value 100 lists deep."""
    for _ in range(100):
        value = [value]
    return value


names = st.text(max_size=8)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**30), 1e300, 5e-324, -0.0, 2**53 + 1])
texts = st.text(st.characters(), max_size=20) | st.sampled_from(["\ud800", "\udc00\ud800", "\x00", "\u2028", "</a>"])
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda kids: st.lists(kids, max_size=4) | st.dictionaries(names, kids, max_size=4) | kids.map(nested),
    max_leaves=20,
)


def by_python(value: object) -> bytes:
    """Write as `json.dumps` does: lone surrogates escaped; NaN and Infinity as words."""
    return _dumps(value).encode()


def by_python_as_utf8(value: object) -> bytes:
    """Write as `json.dumps(ensure_ascii=False, indent=2)` does, with surrogates as an encoder that passes them."""
    return _dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass")


def by_javascript(value: object) -> bytes:
    """Write as `JSON.stringify` does: lone surrogates escaped, NaN and Infinity as null."""
    text = _dumps(_without_infinity(value), ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def by_go(value: object) -> bytes:
    """Write as an Encoder does: HTML escaped, surrogates replaced, a line break at the end; json.Number as it is."""
    text = _dumps(_without_infinity(value), ensure_ascii=False, separators=(",", ":"))
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    text = re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.replace("1e+300", "1e400").encode() + b"\n"


def with_byte_order_mark(value: object) -> bytes:
    """Write as .NET and PowerShell do."""
    return b"\xef\xbb\xbf" + by_python(value)


def as_utf16(value: object) -> bytes:
    """Write as Windows tools do."""
    return _dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")


Writer = Callable[[object], bytes]
WRITERS: tuple[Writer, ...] = (by_python, by_python_as_utf8, by_javascript, by_go, with_byte_order_mark, as_utf16)
writers = st.sampled_from(WRITERS)


def _dumps(value: object, **options: Any) -> str:
    return json.dumps(value, **options)


def _without_infinity(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_without_infinity(child) for child in value]
    if isinstance(value, dict):
        return {name: _without_infinity(child) for name, child in value.items()}
    return value
