"""JSON bodies: every error names the field in plain words, and no body takes long."""

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.bodies.json_fields import MOST_VALUES, read_fields, read_values
from receiver.bodies.json_tokens import has_more_values, path_at
from receiver.web.problems import Problem
from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import Receiver
from tests.receiver.test_receiver_app import is_problem

JOB = b'{"provider":"fal","model":"a/b","input":%s}'
AS_JSON = {"content-type": "application/json"}


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    colour: Annotated[str, msgspec.Meta(max_length=5, description="a colour")]
    number: Annotated[int, msgspec.Meta(description="a number")] = 7
    raw: msgspec.Raw = msgspec.Raw(b"{}")


def read(body: bytes) -> Sample:
    return read_fields(body, Sample, of="a sample", other_names={"size": "number"}, allowed={"colour": ["red", "blue"]})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"colour":"red"}', Sample(colour="red")),
        (b'\xef\xbb\xbf { "number" : 1, "colour" : "blue" }', Sample(colour="blue", number=1)),
        (b'{"colour":"red","number":null,"raw":null}', Sample(colour="red")),
        (b'{"colour":"red","raw":{"a": 1.0}}', Sample(colour="red", raw=msgspec.Raw(b'{"a": 1.0}'))),
    ],
)
def test_fields_are_read_as_the_struct_declares_them(body: bytes, expected: Sample) -> None:
    assert read(body) == expected


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        (b"{}", {"colour": "is required: give a colour"}),
        (b'{"colour":null}', {"colour": "must be a colour"}),
        (b'{"colour":"orange"}', {"colour": "must be a colour"}),
        (b'{"colour":"Bleu"}', {"colour": "must be one of red, blue; did you mean blue?"}),
        (b'{"colour":"red","number":"x"}', {"number": "must be a number"}),
        (
            b'{"color":"red"}',
            {
                "color": "is not a field of a sample; did you mean colour? Its fields are colour, number, raw",
                "colour": "is required: give a colour",
            },
        ),
        (
            b'{"colour":"red","size":1,"x":2}',
            {
                "size": "is not a field of a sample; did you mean number? Its fields are colour, number, raw",
                "x": "is not a field of a sample. Its fields are colour, number, raw",
            },
        ),
    ],
)
def test_every_wrong_field_is_named(body: bytes, errors: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        read(body)
    assert refused.value.status == 422
    assert dict(refused.value.errors) == errors


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"7"])
def test_a_body_that_is_not_an_object_is_refused(body: bytes) -> None:
    with pytest.raises(Problem, match="the body must be a JSON object") as refused:
        read(body)
    assert refused.value.status == 422


MALFORMED = {
    b"": "the body is empty; send a JSON object",
    b"\r\n ": "the body is empty; send a JSON object",
    b"\xff\xfe{": "the body is not valid JSON: not UTF-8 (byte 0)",
    b"\x1f\x8b\x08": "the body is not valid JSON: not UTF-8 (byte 1)",
    b"provider=fal": "the body is not valid JSON: invalid character (byte 0)",
    b"{} {}": "the body is not valid JSON: trailing characters (byte 4)",
    b'{"a":{"b":1': "the body is not valid JSON: it ends too early (byte 10, in a.b)",
    b'{"a":[1,{"b":"\xff"}]}': "the body is not valid JSON: not UTF-8 (byte 14, in a[1].b)",
    b'{"a":[1,01]}': "the body is not valid JSON: invalid number (byte 9, in a[1])",
    b'{"a":NaN}': "the body is not valid JSON: NaN and Infinity are not JSON (byte 5, in a)",
    b'{"a":[-Infinity]}': "the body is not valid JSON: NaN and Infinity are not JSON (byte 7, in a[0])",
    b'{"a":"\\ud800"}': "the body is not valid JSON: a \\u escape is half of a surrogate pair (byte 6, in a)",
    b'{"a":"\\ud800","b":"cc"}': "the body is not valid JSON: a \\u escape is half of a surrogate pair (byte 12, in a)",
    b'{"a":"\\udc00","b":"cc"}': "the body is not valid JSON: a \\u escape is half of a surrogate pair (byte 12, in a)",
    b'{"a":' + b"[" * 3000: "the body is nested too deeply",
    b'{"a":' * 3000: "the body is nested too deeply",
}


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:30]))
def test_a_body_that_is_not_json_is_refused_in_plain_words(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read(body)
    assert (refused.value.status, refused.value.detail) == (400, MALFORMED[body])


@pytest.mark.parametrize("number", ["1e999", "-1e309", "1" + "0" * 309, "-" + "7" * 5000, "1.8e308"])
@pytest.mark.parametrize("field", ["input", "metadata"])
async def test_a_number_that_no_double_holds_is_refused_by_its_field(
    receiver: Receiver, number: str, field: str
) -> None:
    value = b'{"a":"1e999","b":[0,{"c":%s}]}' % number.encode()
    body = {"provider": "fal", "model": "a/b", "input": {}} | {field: msgspec.Raw(value)}
    response = await receiver.http.post("/v1/jobs", content=msgspec.json.encode(body), headers=AS_JSON)
    assert is_problem(response, 422)
    assert [error["field"] for error in response.json()["errors"]] == [f"{field}.b[1].c"]
    assert (await receiver.dump())["jobs"] == []


@pytest.mark.parametrize("number", ["1.797e308", "-1.797E+308", "1e-999", "1" + "0" * 308, "0e999"])
def test_a_number_that_a_double_holds_is_accepted(number: str) -> None:
    assert "a" in read_values(msgspec.Raw(b'{"a":%s}' % number.encode()), "input")


@pytest.mark.parametrize("value", [b"[]", b"null", b'"{}"', b"1"])
def test_a_value_that_is_not_an_object_is_refused_by_its_field(value: bytes) -> None:
    with pytest.raises(Problem, match="input: must be an object"):
        read_values(msgspec.Raw(value), "input")


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"[%s]", MOST_VALUES - 2), (b'{"":[%s]}', MOST_VALUES - 3), (b"[[],{},[[]],%s]", MOST_VALUES - 6)],
)
def test_values_are_counted_to_the_limit(value: bytes, number: int) -> None:
    for more, within in ((0, False), (1, True)):
        text = value % b",".join([b'"a,[{\\",{"'] * (number + more))
        assert has_more_values(b'{"x":%s}' % text, MOST_VALUES) == within, more


async def test_a_body_with_too_many_values_gets_413(make_receiver: MakeReceiver) -> None:
    receiver = make_receiver(MAX_BODY_BYTES="1000000")
    body = JOB % (b'{"a":[%s0]}' % (b"0," * MOST_VALUES))
    response = await receiver.http.post("/v1/jobs", content=body, headers=AS_JSON)
    assert is_problem(response, 413)
    assert response.json()["detail"] == f"the body has more than {MOST_VALUES} values"


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(min_value=0, max_value=300))
def test_a_path_is_found_in_any_bytes(text: bytes, at: int) -> None:
    assert len(path_at(text, at)) <= 200


@settings(deadline=None)
@given(st.text(alphabet='\\"u{}[]:,01eE.-dDcC8 ', max_size=60))
def test_any_text_is_read_or_raises_a_problem(text: str) -> None:
    for body in (text.encode(), b'{"colour":"red","raw":%s}' % text.encode()):
        try:
            values: Any = read(body)
        except Problem:
            continue
        assert isinstance(values, Sample)
