import base64
import hashlib

import pytest

from ledger.records import Outcome, Output
from providers.fal.files import find_outputs, read_completion
from providers.find_files import MOST_OUTPUTS


def test_files_are_listed_in_document_order_at_any_depth() -> None:
    payload = {
        "video": {"url": "https://a.example/1", "preview": {"url": "https://a.example/2"}},
        "images": [{"url": "https://a.example/3"}, [{"url": "https://a.example/4"}]],
        "audio": {"url": "https://a.example/5"},
    }
    assert [output.url[-1] for output in find_outputs(payload).outputs] == list("12345")


def test_each_url_is_listed_once() -> None:
    file = {"url": "https://a.example/1"}
    assert len(find_outputs([file, {"again": file}]).outputs) == 1


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
    ).outputs
    assert (output.content_type, output.file_name, output.file_size, output.width, output.height) == (None,) * 5


def test_whole_floats_are_sizes_too() -> None:
    (output,) = find_outputs({"url": "https://a.example/1", "width": 512.0, "height": 1.5}).outputs
    assert (output.width, output.height) == (512, None)


@pytest.mark.parametrize("url", ["", "data:no comma", "ftp://a.example/1", "javascript:alert(1)", 7, None])
def test_a_text_that_is_no_url_of_a_file_is_no_output(url: object) -> None:
    files = find_outputs({"video": {"url": url}, "image": {"url": "https://a.example/ok"}})
    assert ([output.url[-2:] for output in files.outputs], files.unusable) == (["ok"], 0)


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///path",
        "https://[::1",
        "https://a.example:port/1",
        "https://a.example:99999/1",
        "https://a\u2100.example/",
        "https://a.example/" + "x" * 8192,
    ],
)
def test_a_url_that_cannot_be_used_is_said_in_the_warning(url: str) -> None:
    outcome = read_completion({"video": {"url": url}, "image": {"url": "https://a.example/ok"}})
    assert [output.url[-2:] for output in outcome.outputs] == ["ok"]
    assert outcome.warning == "URLs in the receipt only, because they are malformed or too long: 1"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a.example/3.04\u202fPM.png", "https://a.example/3.04%E2%80%AFPM.png"),
        ("https://a.example/a\u00a0b", "https://a.example/a%C2%A0b"),
        ("https://a.example/\U0001f469\u200d\U0001f4bb.png", "https://a.example/\U0001f469%E2%80%8D\U0001f4bb.png"),
        (" https://a.example/1\n", "https://a.example/1"),
        ("https://a.example/\n1\t", "https://a.example/1"),
        ("https://a.example/\x00b", "https://a.example/%00b"),
        ("https://a.example/\ud800", "https://a.example/%EF%BF%BD"),
        ("HTTPS://A.example/é ü", "HTTPS://A.example/é ü"),
        ("https://user@[::1]:80/a?b#c", "https://user@[::1]:80/a?b#c"),
    ],
)
def test_a_url_with_unusual_characters_is_an_output(url: str, kept: str) -> None:
    files = find_outputs({"url": url})
    assert [output.url for output in files.outputs] == [kept]
    assert len(Outcome.completed(files.outputs).fingerprint) == 32


@pytest.mark.parametrize(
    "payload",
    [
        "https://a.example/1",
        ["https://a.example/1"],
        {"output": "https://a.example/1"},
        {"output": [["https://a.example/1"]]},
        {"video_url": "https://a.example/1"},
        {"thumbnailUrl": "https://a.example/1"},
        {"imageURL": "https://a.example/1"},
        {"image": "https://a.example/1"},
        {"images": ["https://a.example/1"]},
        {"images_2": ["https://a.example/1"]},
        {"mp4": "https://a.example/1"},
        {"original": {"image": "https://a.example/1"}},
    ],
)
def test_a_bare_url_under_a_name_for_files_is_an_output(payload: object) -> None:
    assert [output.url for output in find_outputs(payload).outputs] == ["https://a.example/1"]


@pytest.mark.parametrize("name", ["depth", "lora", "response", "x", "视频"])
def test_a_bare_url_with_the_ending_of_a_file_is_an_output_under_any_name(name: str) -> None:
    assert len(find_outputs({name: "https://a.example/1.SAFETENSORS?sig=1#x"}).outputs) == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"source_face_url": "https://a.example/1.jpg", "target_video_url": "https://a.example/1.mp4"},
        {"input": {"image_url": "https://a.example/1.jpg", "image": {"url": "https://a.example/2.jpg"}}},
        {"inputs": ["https://a.example/1.jpg"]},
        {"prompt": "https://a.example/1.jpg"},
        {"image": "https://a.example/1.jpg like this but blue"},
        {
            "status_url": "https://a.example/1",
            "response_url": "https://a.example/2",
            "cancel_url": "https://a.example/3",
        },
        {"docs_url": "https://a.example/1.html", "license": {"url": "https://a.example/2.txt"}},
        {"documentation": "https://a.example/manual.pdf", "webhook": "https://a.example/1"},
        {"description": "https://a.example/", "model": "https://huggingface.example/a/b"},
        {"caption": "Data: five people", "text": "http: a protocol"},
    ],
)
def test_inputs_that_are_repeated_and_links_to_read_are_no_outputs(payload: object) -> None:
    files = find_outputs(payload)
    assert (files.outputs, files.unusable) == ((), 0)


def test_an_object_with_a_url_is_an_output_even_under_the_name_of_an_input() -> None:
    assert len(find_outputs({"source_image": {"url": "https://a.example/1", "content_type": "image/png"}}).outputs) == 1


PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(range(200, 256))
DIGEST = base64.urlsafe_b64encode(hashlib.sha256(PIXEL).digest()).decode().rstrip("=")
ENCODED = base64.b64encode(PIXEL).decode()


@pytest.mark.parametrize(
    "data",
    [
        ENCODED,
        ENCODED.rstrip("="),
        base64.urlsafe_b64encode(PIXEL).decode(),
        ENCODED[:40] + "\r\n " + ENCODED[40:],
        ENCODED.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    ],
)
def test_a_data_uri_is_an_output_with_type_size_and_digest(data: str) -> None:
    (output,) = find_outputs({"images": [{"url": f"data:image/png;base64,{data}", "width": 1}]}).outputs
    assert output == Output(
        url=f"ni:///sha-256;{DIGEST}?ct=image/png", content_type="image/png", file_size=len(PIXEL), width=1
    )


def test_data_uris_and_urls_are_listed_side_by_side() -> None:
    uri = f"DATA:image/png;charset=x;BASE64,{ENCODED}"
    files = find_outputs({"image": uri, "video": {"url": "https://a.example/1"}, "images": [uri, "data:,a%20b"]})
    assert [output.content_type for output in files.outputs] == ["image/png", None, "text/plain"]
    assert [output.file_size for output in files.outputs] == [len(PIXEL), None, 3]


def test_a_data_uri_that_is_not_base64_has_the_digest_of_its_text_and_no_size() -> None:
    (output,) = find_outputs({"url": "data:a/b;base64,????"}).outputs
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"????").digest()).decode().rstrip("=")
    assert (output.url, output.file_size) == (f"ni:///sha-256;{digest}?ct=a/b", None)


def test_a_long_data_uri_is_decoded_in_pieces() -> None:
    content = bytes(range(256)) * 20_000
    (output,) = find_outputs({"url": "data:a/b;base64," + base64.b64encode(content).decode()}).outputs
    assert output.file_size == len(content)
    assert base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=") in output.url


def test_a_limit_that_leaves_files_out_is_said_in_the_warning() -> None:
    outcome = read_completion([{"url": f"https://a.example/{n}"} for n in range(MOST_OUTPUTS + 5)])
    assert [output.url for output in outcome.outputs] == [f"https://a.example/{n}" for n in range(MOST_OUTPUTS)]
    assert outcome.warning == f"only the first {MOST_OUTPUTS} files are listed; URLs in the receipt beyond them: 5"


def test_twelve_hundred_files_are_all_listed() -> None:
    outcome = read_completion({"frames": [f"https://a.example/{n}" for n in range(1200)]})
    assert (len(outcome.outputs), outcome.warning) == (1200, None)


def test_the_providers_own_warning_comes_first() -> None:
    outcome = read_completion({"warning": "cut to 25 min", "video": {"url": "https://"}})
    assert outcome.warning == "cut to 25 min; URLs in the receipt only, because they are malformed or too long: 1"


FILE = {"url": "https://a.example/1"}
NUMBERS = list(range(200_000))


@pytest.mark.parametrize(
    "payload",
    [
        {"video": FILE, "numbers": NUMBERS},
        {"numbers": NUMBERS, "video": FILE},
        [FILE, *NUMBERS],
        [*NUMBERS, FILE],
        {"video": FILE} | dict.fromkeys(map(str, NUMBERS)),
        [*([] for _ in range(60_000)), FILE],
        [*({} for _ in range(200_000)), FILE],
    ],
    ids=["beside many", "after many", "first", "last", "in a long mapping", "after lists", "after objects"],
)
def test_a_file_is_found_among_very_many_other_values(payload: object) -> None:
    assert [output.url for output in find_outputs(payload).outputs] == [FILE["url"]]


def test_a_file_is_found_at_any_depth() -> None:
    payload: object = {"url": "https://a.example/1"}
    for _ in range(10_000):
        payload = [payload]
    assert len(find_outputs(payload).outputs) == 1


def test_an_invalid_duration_or_warning_is_left_out() -> None:
    outcome = read_completion({"video": {"url": "https://a.example/1"}, "processing_time_ms": "soon", "warning": 7})
    assert (outcome.processing_time_ms, outcome.warning) == (None, None)
