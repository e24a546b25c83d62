"""The pages use the words of the field, and few words of their own."""

import re

import pytest

from tests.documentation.pages import PAGES, README, page, prose

PRIVATE = re.compile(
    r"\b(told|heard|mouth|postman|crew|shifts?|trouble|nobody|mend(?:ed|s)?|doubt|strangers?|news"
    r"|put(?:s|ting)? off|buried|bury|looks? again|an? letter|letters go)\b",
    re.IGNORECASE,
)
"""Words with a meaning of their own in earlier versions, each with a usual one: deliver, lease, failure, poll."""

MOST_WORDS = 20
LONGEST_README = 200


def private_words(text: str) -> list[str]:
    without_code = re.sub(r"`[^`]*`", "", text)
    return PRIVATE.findall(" ".join(without_code.split()))


@pytest.mark.parametrize("name", PAGES)
def test_pages_use_no_private_words(name: str) -> None:
    assert private_words(prose(name)) == []


def test_private_words_are_found() -> None:
    assert private_words("It was told by a letter; then it was put\noff, as `news` is code.") == [
        "told",
        "a letter",
        "put off",
    ]
    assert private_words("A dead letter, in lower case letters.") == []


def test_the_glossary_explains_at_most_twenty_words() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", page("docs/glossary.md"), re.MULTILINE)
    assert 10 <= len(words) <= MOST_WORDS


def test_the_readme_is_short() -> None:
    assert page(README).count("\n") < LONGEST_README
