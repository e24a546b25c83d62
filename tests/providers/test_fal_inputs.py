from collections.abc import Mapping

import pytest

from providers.errors import InputRefused
from providers.fal.inputs import INPUTS, check_input, check_model

FACE, VIDEO = "https://a.example/face.jpg", "https://a.example/video.mp4"
FAMILY = "half-moon-ai/ai-face-swap/"
TWO = {"source_face_url_1": FACE, "source_gender_1": "female"}
GOOD: dict[str, dict[str, object]] = {
    "faceswapvideo": {"source_face_url": FACE, "target_video_url": VIDEO},
    "faceswapimage": {"source_face_url": FACE, "target_image_url": FACE},
    "faceswapvideomulti": {**TWO, "target_video_url": VIDEO},
    "faceswapimagemulti": {**TWO, "target_image_url": FACE},
}


def refused(model: str, fields: Mapping[str, object]) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        check_input(FAMILY + model, fields)
    return caught.value


def test_all_four_models_are_tested() -> None:
    assert {FAMILY + model for model in GOOD} == set(INPUTS)


@pytest.mark.parametrize("model", GOOD)
def test_the_documented_input_is_accepted(model: str) -> None:
    check_input(FAMILY + model, GOOD[model])
    check_input(FAMILY + model, {**GOOD[model], "enable_occlusion_prevention": True})


@pytest.mark.parametrize("model", GOOD)
def test_a_missing_required_field_is_named(model: str) -> None:
    for field in GOOD[model]:
        error = refused(model, {name: value for name, value in GOOD[model].items() if name != field})
        assert error.field == field
        assert error.message.startswith(f"is missing and {FAMILY}{model} requires it; give ")


@pytest.mark.parametrize("model", GOOD)
def test_a_field_of_a_wrong_type_is_named(model: str) -> None:
    for field in GOOD[model]:
        wrongs: list[object] = [7, None, [], {"url": FACE}, True, ""]
        for wrong in wrongs:
            assert refused(model, {**GOOD[model], field: wrong}).field == field


@pytest.mark.parametrize("wrong", [1, "true", None, "yes"])
def test_occlusion_prevention_must_be_true_or_false(wrong: object) -> None:
    error = refused("faceswapvideo", {**GOOD["faceswapvideo"], "enable_occlusion_prevention": wrong})
    assert error.field == "enable_occlusion_prevention"
    assert "true or false" in error.message


def test_a_misspelt_field_is_refused_with_a_suggestion_and_the_known_fields() -> None:
    error = refused("faceswapvideo", {**GOOD["faceswapvideo"], "enable_oclusion_prevention": True})
    assert error.field == "enable_oclusion_prevention"
    assert "did you mean enable_occlusion_prevention?" in error.message
    assert "Known inputs: source_face_url, target_video_url, enable_occlusion_prevention" in error.message


def test_an_unknown_field_is_refused_with_the_known_fields() -> None:
    assert f"is not an input of {FAMILY}faceswapimage. Known inputs: " in refused("faceswapimage", {"qqq": 1}).message


def test_a_second_face_requires_its_gender() -> None:
    second = {**GOOD["faceswapvideomulti"], "source_face_url_2": FACE}
    assert refused("faceswapvideomulti", second).field == "source_gender_2"
    check_input(FAMILY + "faceswapvideomulti", {**second, "source_gender_2": "male"})
    check_input(FAMILY + "faceswapvideomulti", {**GOOD["faceswapvideomulti"], "source_face_url_2": None})


@pytest.mark.parametrize("field", ["source_gender_1", "source_gender_2"])
def test_a_gender_must_be_one_that_the_models_know(field: str) -> None:
    error = refused("faceswapimagemulti", {**GOOD["faceswapimagemulti"], field: "woman"})
    assert error.field == field
    assert '"female" or "male"' in error.message


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/x",
        "https://a.example/face",
        "https://a.example/face.heic?sig=1",
        "data:image/png;base64,AA==",
        "data:;base64,AA==",
        "data:image/svg+xml;charset=utf-8,%3Csvg",
    ],
)
def test_files_may_be_urls_or_data_uris_of_any_extension(url: str) -> None:
    check_input(FAMILY + "faceswapvideo", {**GOOD["faceswapvideo"], "source_face_url": url})


@pytest.mark.parametrize(
    "url",
    [
        "face.jpg",
        "file:///etc/passwd",
        "https://",
        "data:",
        "data:image/png",
        "data:image/png;base64,",
        "https://a\n.b/",
    ],
)
def test_a_file_that_fal_cannot_fetch_is_refused(url: str) -> None:
    error = refused("faceswapvideo", {**GOOD["faceswapvideo"], "source_face_url": url})
    assert error.field == "source_face_url"
    assert "give" in error.message


def test_any_other_model_accepts_any_input() -> None:
    check_input("fal-ai/flux/dev", {"prompt": 7, "": None})


@pytest.mark.parametrize("model", ["fal-ai/flux", "fal-ai/flux/dev/a/b/c", "Owner_1/app.v1-2", "workflows/me/x"])
def test_plain_model_ids_are_accepted(model: str) -> None:
    check_model(model)


@pytest.mark.parametrize(
    "model",
    [
        "",
        "flux",
        "/fal-ai/flux",
        "fal-ai/flux/",
        "a//b",
        "a/../b",
        "a/..",
        "./b",
        "a/b..c",
        "a/b/c/d/e/f/g",
        "a b/c",
        "a/b?x",
        "a/b#x",
        "a/é",
        "a/b%2e",
        "a\\b/c",
        "https://x/y",
        "a/b\n",
        "a/" + "x" * 199,
    ],
)
def test_ids_that_would_change_the_url_are_refused(model: str) -> None:
    with pytest.raises(InputRefused) as caught:
        check_input(model, {})
    assert caught.value.field == "model"
