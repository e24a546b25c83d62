from collections.abc import Mapping

import pytest

from providers.errors import InputRefused
from providers.heygen.inputs import check_input, check_model

SWAP = {"source_image_url": "https://a.example/face.jpg", "target_video_url": "https://a.example/video.mp4"}
AVATAR = {
    "avatar": {"avatar_id": "Angela-inblackskirt-20220820"},
    "audio_list": [{"audio_url": "https://a.example/speech.mp3"}],
}


def refused(model: str, fields: Mapping[str, object]) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        check_input(model, fields)
    return caught.value


def test_the_documented_inputs_are_accepted() -> None:
    check_input("FaceswapNode", SWAP)
    check_input("AvatarInferenceNode", AVATAR)


def test_an_avatar_may_have_further_fields() -> None:
    check_input("AvatarInferenceNode", {**AVATAR, "background": "green"})


@pytest.mark.parametrize("field", SWAP)
@pytest.mark.parametrize("wrong", [None, 7, "", "face.jpg", "data:image/png;base64,AA==", "ftp://a.example/x"])
def test_both_urls_of_a_face_swap_must_be_fetchable(field: str, wrong: object) -> None:
    assert refused("FaceswapNode", {**SWAP, field: wrong}).field == field
    assert refused("FaceswapNode", {name: SWAP[name] for name in SWAP if name != field}).field == field


def test_a_misspelt_field_of_a_face_swap_is_refused() -> None:
    error = refused("FaceswapNode", {**SWAP, "target_url": "https://a.example"})
    assert error.field == "target_url"
    assert "source_image_url, target_video_url" in error.message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"avatar": {}}, "avatar.avatar_id"),
        ({"avatar": {"avatar_id": ""}}, "avatar.avatar_id"),
        ({"avatar": "Angela"}, "avatar"),
        ({"audio_list": []}, "audio_list"),
        ({"audio_list": [{}]}, "audio_list[0].audio_url"),
        ({"audio_list": [{"audio_url": "x"}]}, "audio_list[0].audio_url"),
        ({"audio_list": "x"}, "audio_list"),
    ],
)
def test_an_avatar_needs_its_id_and_audio(change: dict[str, object], field: str) -> None:
    error = refused("AvatarInferenceNode", {**AVATAR, **change})
    assert error.field == field
    assert "give" in error.message


def test_any_other_workflow_accepts_any_input() -> None:
    check_input("GenerateVideoNode", {"prompt": 7})


@pytest.mark.parametrize("model", ["", "a b", "a-b", "é", "a/b", "x" * 101, "a\n"])
def test_workflow_types_are_plain_words(model: str) -> None:
    with pytest.raises(InputRefused):
        check_model(model)
