"""Declared settings: read from the environment into a Struct, faults collected, secrets hidden."""

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from settings.environment import read_struct
from settings.readers import count_between, read_keys, read_token
from settings.setting import Declared, Setting, declared, secret_texts


class Sample(Declared, frozen=True, kw_only=True):
    sample_key: Annotated[str | None, Setting(read_token, secret=True, help="A key.")]
    sample_keys: Annotated[tuple[str, ...], Setting(read_keys, secret=True, many=True, help="Keys.")]
    sample_count: Annotated[int, Setting(count_between(1, 9), default="3", help="A number.")]
    other: str = "other"


def read(**environment: str) -> tuple[Sample, list[str]]:
    faults: list[str] = []
    return read_struct(Sample, environment, faults), faults


def test_settings_are_the_annotated_fields_under_their_names_in_the_environment() -> None:
    assert list(declared(Sample)) == ["SAMPLE_KEY", "SAMPLE_KEYS", "SAMPLE_COUNT"]
    assert (declared(Sample)["SAMPLE_COUNT"].default, declared(Sample)["SAMPLE_KEY"].secret) == ("3", True)


def test_unset_settings_have_their_default_or_none_or_nothing() -> None:
    assert read() == (Sample(sample_key=None, sample_keys=(), sample_count=3), [])


def test_set_values_are_read() -> None:
    sample, faults = read(SAMPLE_KEY="k", SAMPLE_KEYS=f"{'a' * 16},{'b' * 16}", SAMPLE_COUNT=" 4\n")
    assert (sample.sample_key, sample.sample_keys, sample.sample_count) == ("k", ("a" * 16, "b" * 16), 4)
    assert faults == []


def test_every_fault_is_collected_and_leaves_its_value_empty() -> None:
    sample, faults = read(SAMPLE_KEY="a b", SAMPLE_KEYS="short", SAMPLE_COUNT="10")
    values: tuple[object, ...] = msgspec.structs.astuple(sample)
    assert [fault.partition(": ")[0] for fault in faults] == ["SAMPLE_KEY", "SAMPLE_KEYS", "SAMPLE_COUNT"]
    assert faults[2] == "SAMPLE_COUNT: must be a whole number from 1 to 9, not '10'"
    assert values[:3] == (None, (), None)


def _leave(text: str) -> str:
    raise SystemExit(text)


def _mistaken(text: str) -> str:
    return {"": ""}[text]


class Mistaken(Declared, frozen=True, kw_only=True):
    mistaken_key: Annotated[str | None, Setting(_mistaken, secret=True, help="Raises what no reader should.")]
    mistaken_text: Annotated[str | None, Setting(_leave, help="Ends the process.")]


def test_a_reader_that_raises_something_else_is_a_fault_of_its_setting_without_the_value() -> None:
    faults: list[str] = []
    read_struct(Mistaken, {"MISTAKEN_KEY": "the-key", "MISTAKEN_TEXT": "the-text"}, faults)
    assert faults == ["MISTAKEN_KEY: its reader raised KeyError", "MISTAKEN_TEXT: its reader raised SystemExit"]


def test_secret_values_are_listed_as_texts() -> None:
    sample, _ = read(SAMPLE_KEY="the-key", SAMPLE_KEYS=f"{'a' * 16},{'b' * 16}")
    assert secret_texts(sample) == ["the-key", "a" * 16, "b" * 16]
    assert secret_texts(read()[0]) == []


def test_fields_that_are_no_settings_are_given() -> None:
    assert read_struct(Sample, {}, [], other="given").other == "given"


def test_a_value_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    assert read(SAMPLE_KEY_FILE=str(tmp_path / "key"))[0].sample_key == "from-a-file"


@pytest.mark.parametrize("quoted", ['"the-key"', "'the-key'", "`the-key`", "\u201cthe-key\u201d", '""', '"a","b"'])
@pytest.mark.parametrize("name", ["SAMPLE_KEY", "SAMPLE_KEYS", "SAMPLE_COUNT"])
def test_a_value_in_quotation_marks_is_refused_with_the_reason(name: str, quoted: str) -> None:
    _, [fault] = read(**{name: quoted})
    assert fault.startswith(
        f"{name}: is in quotation marks, which are a part of the value here, as in a file of docker"
    )
    assert "the-key" not in fault


def test_a_quotation_mark_inside_or_at_one_end_is_part_of_a_value() -> None:
    assert read(SAMPLE_KEYS='"' + "k" * 16)[0].sample_keys == ('"' + "k" * 16,)
    assert read(SAMPLE_KEY="k'k")[0].sample_key == "k'k"


FILES = [
    (b"\xef\xbb\xbfthe-key\r\n", "begins with a byte order mark, which is a part of the value: save it as UTF-8 "),
    ("the-key".encode("utf-16"), "{} is not UTF-8 text"),
    (b'"the-key"\n', "is in quotation marks"),
    (b"k" * 65_537, "{} is longer than 65536 bytes"),
    (b"the key", "must be visible ASCII characters"),
]


@pytest.mark.parametrize(("content", "words"), FILES, ids=range(len(FILES)))
def test_a_file_whose_content_is_no_value_is_named_with_the_reason(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    _, [fault] = read(SAMPLE_KEY_FILE=str(path))
    assert fault.startswith(f"SAMPLE_KEY_FILE: {words.format(path)}")
    assert "the-key" not in fault


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    folder, nothing = str(tmp_path), str(tmp_path / "nothing")
    assert read(SAMPLE_KEY_FILE=folder)[1] == [f"SAMPLE_KEY_FILE: cannot read {folder}: Is a directory"]
    assert read(SAMPLE_KEY_FILE=nothing)[1] == [f"SAMPLE_KEY_FILE: cannot read {nothing}: No such file or directory"]


def test_secrets_are_hidden_in_the_text_of_the_struct() -> None:
    sample, _ = read(SAMPLE_KEY="the-key", SAMPLE_KEYS="k" * 16)
    assert repr(sample) == "Sample(sample_key='***', sample_keys='***', sample_count=3, other='other')"
    assert repr(read()[0]) == "Sample(sample_key=None, sample_keys=(), sample_count=3, other='other')"
    assert "the-key" not in str(sample) + f"{sample}"


def test_declared_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read()[0].sample_count = 1  # type: ignore[misc]  # that it raises is the test
    assert issubclass(Declared, msgspec.Struct)
