import base64

import msgspec
import pytest
from nacl.signing import SigningKey

from providers.errors import Malformed
from providers.fal.keys import MOST_KEYS, parse_jwks


def raw(n: int) -> bytes:
    return bytes(SigningKey(n.to_bytes(32, "big")).verify_key)


def x(n: int, *, padded: bool = False) -> str:
    text = base64.urlsafe_b64encode(raw(n)).decode()
    return text if padded else text.rstrip("=")


def key_set(*entries: object) -> bytes:
    return msgspec.json.encode({"keys": list(entries)})


@pytest.mark.parametrize("padded", [True, False])
def test_keys_are_read_with_and_without_padding(padded: bool) -> None:
    keys = parse_jwks(key_set(*[{"kty": "OKP", "crv": "Ed25519", "x": x(n, padded=padded)} for n in range(20)]))
    assert [bytes(key) for key in keys] == [raw(n) for n in range(20)]


def test_only_x_is_required() -> None:
    assert bytes(parse_jwks(key_set({"x": x(1)}))[0]) == raw(1)


@pytest.mark.parametrize(
    "entry",
    [
        {"x": x(1), "kty": "RSA"},
        {"x": x(1), "crv": "X25519"},
        {"x": x(1)[:-2]},
        {"x": x(1) + "AA"},
        {"x": x(1)[:-1] + "!"},
        {"x": x(1)[:-1] + "é"},
        {"x": ""},
        {"x": "A" * 43},
        {"x": "AQ" + "A" * 41},
        {"x": "Ag" + "A" * 41},
        {"x": "_" * 42 + "8"},
        {"x": 7},
        {},
        None,
        "x",
    ],
)
def test_an_entry_that_is_no_ed25519_key_is_skipped(entry: object) -> None:
    assert [bytes(key) for key in parse_jwks(key_set(entry, {"x": x(2)}))] == [raw(2)]
    with pytest.raises(Malformed):
        parse_jwks(key_set(entry))


def test_each_key_is_listed_once() -> None:
    assert len(parse_jwks(key_set({"x": x(1)}, {"x": x(1, padded=True)}, {"x": x(2)}))) == 2


def test_a_set_of_more_than_32_keys_is_read() -> None:
    assert bytes(parse_jwks(key_set(*[{"x": x(n)} for n in range(33)]))[32]) == raw(32)


def test_keys_are_bounded_in_number() -> None:
    assert len(parse_jwks(key_set(*[{"x": x(n)} for n in range(MOST_KEYS + 3)]))) == MOST_KEYS


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + key_set({"x": x(1)}),
        key_set({"kty": "okp", "crv": "ed25519", "x": x(1)}),
        key_set({"kty": None, "x": x(1)}),
        msgspec.json.encode([{"x": x(1)}]),
        b'{"keys":[{"x":"' + x(1).replace("-", "+").replace("_", "/").encode() + b'"}],"max_age":NaN}',
    ],
    ids=["byte order mark", "lower case", "null", "a bare list", "the other base64"],
)
def test_an_unusual_set_is_read(body: bytes) -> None:
    assert [bytes(key) for key in parse_jwks(body)] == [raw(1)]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"[" * 30_000 + b"]" * 30_000]
)
def test_a_body_without_usable_keys_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_jwks(body)
