"""Identifiers: their format, their order, and that they are unique."""

import base64
import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ledger.identifiers import new_identifier
from tests.conftest import NOON


def bits_of(identifier: str) -> bytes:
    """Return the 128 bits of an identifier, decoded by the standard library."""
    return base64.b32hexdecode(identifier.partition("_")[2].upper() + "=" * 6)


@given(st.integers(0, 2**48 - 1))
def test_an_identifier_is_48_bits_of_time_and_80_random_bits_in_base32hex(now: int) -> None:
    identifier = new_identifier("job", now)
    bits = bits_of(identifier)
    assert (len(bits), int.from_bytes(bits[:6], "big")) == (16, now)
    assert identifier == "job_" + base64.b32hexencode(bits).decode().rstrip("=").lower()


def test_an_identifier_is_a_prefix_and_26_digits() -> None:
    assert re.fullmatch(r"rcpt_[0-9a-v]{26}", new_identifier("rcpt", NOON))
    assert new_identifier("job", NOON).startswith("job_06dndml80")


def test_within_a_millisecond_each_identifier_is_the_one_before_plus_one() -> None:
    numbers = [int.from_bytes(bits_of(new_identifier("job", NOON)), "big") for _ in range(100)]
    assert numbers == list(range(numbers[0], numbers[0] + 100))


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, max_size=20).map(sorted))
def test_identifiers_sort_by_creation(moments: list[int]) -> None:
    made = [new_identifier("job", now) for now in moments]
    assert sorted(made) == made
    assert len(set(made)) == len(made)


def test_every_millisecond_has_new_random_bits() -> None:
    numbers = [int.from_bytes(bits_of(new_identifier("job", NOON + later))[6:], "big") for later in range(1, 101)]
    assert len({after - before for before, after in pairwise(numbers)}) == 99
