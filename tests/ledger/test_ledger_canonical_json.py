"""JSON texts that mean the same have one canonical text, and others have another."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.canonical_json import canonical_json

EQUAL = [
    ["1", "1.0", "1e0", "10e-1", "0.1E+1"],
    ["0", "-0", "0.0", "-0.0", "0e999999", "1e-400"],
    ["0.1", "1e-1", "0.10000000000000000555"],
    ["-1.5", "-15e-1"],
    ["9007199254740991", "9007199254740991.0"],
    ["9007199254740992", "9007199254740992.0", "9.007199254740992e15"],
    ["9007199254740993", "9007199254740993.0"],
    ["-1000000000000000", "-1e15"],
    ["1" + "0" * 22, "1e22", "10E21", "1.0e+22"],
    ["1" + "0" * 300, "1e300"],
    ["123456789012345678901234567890", "123456789012345678901234567890.0"],
    ['"é/"', '"\\u00e9\\/"'],
    ['{"a":1,"b":[true,null]}', '{ "b" : [ true , null ],\n"a" : 1.0 }'],
    ['{"a":2}', '{"a":1,"a":2}'],
]

UNEQUAL = [*(texts[0] for texts in EQUAL), "9007199254740992.5", "true", "null", '"1"', "[1]", '{"b":1,"a":[true]}']


@pytest.mark.parametrize("texts", EQUAL, ids=lambda texts: texts[0][:20])
def test_texts_that_mean_the_same_have_one_canonical_text(texts: list[str]) -> None:
    assert len({canonical_json(text) for text in texts}) == 1


def test_texts_that_mean_something_else_have_another() -> None:
    for one, other in itertools.combinations(UNEQUAL, 2):
        assert canonical_json(one) != canonical_json(other), (one, other)


def test_a_canonical_text_is_json_and_its_own_canonical_text() -> None:
    for text in UNEQUAL:
        canonical = canonical_json(text).decode()
        json.loads(canonical)
        assert canonical_json(canonical).decode() == canonical


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON)
def test_white_space_and_the_order_of_members_do_not_count(value: Any) -> None:
    text = json.dumps(value)
    assert canonical_json(text) == canonical_json(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))


@settings(deadline=None)
@given(st.integers(), st.integers())
def test_integers_are_equal_only_to_themselves(one: int, other: int) -> None:
    assert (canonical_json(str(one)) == canonical_json(str(other))) == (one == other)
