import pytest

from ledger.records import Outcome
from providers.fal.files import find_outputs, read_completion
from providers.find_files import MOST_CONTAINERS, MOST_OUTPUTS


def test_files_are_listed_in_document_order_at_any_depth() -> None:
    payload = {
        "video": {"url": "https://a.example/1", "preview": {"url": "https://a.example/2"}},
        "images": [{"url": "https://a.example/3"}, [{"url": "https://a.example/4"}]],
        "audio": {"url": "https://a.example/5"},
    }
    assert [output.url[-1] for output in find_outputs(payload)] == list("12345")


def test_each_url_is_listed_once() -> None:
    file = {"url": "https://a.example/1"}
    assert len(find_outputs([file, {"again": file}])) == 1


def test_invalid_fields_are_left_out() -> None:
    (output,) = find_outputs(
        {
            "url": "https://a.example/1",
            "content_type": 7,
            "file_name": "",
            "file_size": -1,
            "width": True,
            "height": 2**54,
        }
    )
    assert (output.content_type, output.file_name, output.file_size, output.width, output.height) == (None,) * 5


def test_whole_floats_are_sizes_too() -> None:
    (output,) = find_outputs({"url": "https://a.example/1", "width": 512.0, "height": 1.5})
    assert (output.width, output.height) == (512, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data:image/png;base64,AA==",
        "ftp://a.example/1",
        "javascript:alert(1)",
        "https://",
        "https:///path",
        "https://[::1",
        "https://a.example:port/1",
        "https://a.example:99999/1",
        "https://a.example/\n1",
        "https://a.example/\x00",
        "https://a.example/\ud800",
        "https://a\u2100.example/",
        "https://a.example/" + "x" * 8192,
        7,
        None,
        ["https://a.example/1"],
    ],
)
def test_a_url_that_cannot_be_stored_is_no_output(url: object) -> None:
    assert find_outputs({"video": {"url": url}, "image": {"url": "https://a.example/ok"}})[0].url[-2:] == "ok"


def test_found_outputs_can_be_fingerprinted() -> None:
    outputs = find_outputs([{"url": "https://user@[::1]:80/é?a=1#b"}, {"url": "HTTP://A.example"}])
    assert len(outputs) == 2
    assert len(Outcome.completed(outputs).fingerprint) == 32


def test_outputs_are_bounded_in_number() -> None:
    assert len(find_outputs([{"url": f"https://a.example/{n}"} for n in range(MOST_OUTPUTS + 5)])) == MOST_OUTPUTS


FILE = {"url": "https://a.example/1"}
NUMBERS = list(range(2 * MOST_CONTAINERS))


@pytest.mark.parametrize(
    "payload",
    [
        {"video": FILE, "numbers": NUMBERS},
        {"numbers": NUMBERS, "video": FILE},
        [FILE, *NUMBERS],
        [*NUMBERS, FILE],
        {"video": FILE} | dict.fromkeys(map(str, NUMBERS)),
    ],
    ids=["beside many", "after many", "the first of many", "the last of many", "in a long mapping"],
)
def test_a_file_is_found_among_very_many_other_values(payload: object) -> None:
    assert [output.url for output in find_outputs(payload)] == [FILE["url"]]


def test_of_very_many_files_the_first_are_kept() -> None:
    found = find_outputs([{"url": f"https://a.example/{n}"} for n in range(MOST_CONTAINERS + 5)])
    assert [output.url for output in found] == [f"https://a.example/{n}" for n in range(MOST_OUTPUTS)]


def test_a_body_of_very_many_brackets_is_not_searched_to_its_end() -> None:
    assert find_outputs([*([] for _ in range(MOST_CONTAINERS - 2)), FILE]) != ()
    assert find_outputs([*([] for _ in range(MOST_CONTAINERS - 1)), FILE]) == ()


def test_nesting_is_bounded() -> None:
    payload: object = {"url": "https://a.example/1"}
    for _ in range(1000):
        payload = [payload]
    assert find_outputs(payload) == ()
    while isinstance(payload, list):
        payload = payload.pop()  # freed by hand: the interpreter would recurse


def test_an_invalid_duration_or_warning_is_left_out() -> None:
    outcome = read_completion({"video": {"url": "https://a.example/1"}, "processing_time_ms": "soon", "warning": 7})
    assert (outcome.processing_time_ms, outcome.warning) == (None, None)
