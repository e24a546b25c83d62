"""Inputs of the four face-swap models, checked before a job is submitted. Any other model passes through."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from providers.errors import InputRefused
from providers.typed_inputs import FileUrl, check_fields, check_file_url

_FAMILY = "half-moon-ai/ai-face-swap"
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")

Gender = Annotated[Literal["female", "male"], msgspec.Meta(description='"female" or "male"')]
MaybeGender = Annotated[Literal["female", "male"] | None, msgspec.Meta(description='"female" or "male"')]
MaybeFileUrl = Annotated[str | None, msgspec.Meta(description="an http(s) URL or a data: URI")]
Occlusion = Annotated[bool, msgspec.Meta(description="true or false; true costs twice as much")]


class _Swap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source_face_url: FileUrl


class VideoSwap(_Swap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One face into a video. fal cuts it to 25 minutes and to 25 frames a second."""

    target_video_url: FileUrl
    enable_occlusion_prevention: Occlusion = False


class ImageSwap(_Swap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One face into an image."""

    target_image_url: FileUrl
    enable_occlusion_prevention: Occlusion = False


class _TwoFaces(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source_face_url_1: FileUrl
    source_gender_1: Gender
    source_face_url_2: MaybeFileUrl = None
    source_gender_2: MaybeGender = None


class VideoSwapMulti(_TwoFaces, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One or two faces into a video, each for the faces of one gender."""

    target_video_url: FileUrl
    enable_occlusion_prevention: Occlusion = False


class ImageSwapMulti(_TwoFaces, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One or two faces into an image, each for the faces of one gender."""

    target_image_url: FileUrl
    enable_occlusion_prevention: Occlusion = False


INPUTS: Mapping[str, type[msgspec.Struct]] = {
    f"{_FAMILY}/faceswapvideo": VideoSwap,
    f"{_FAMILY}/faceswapimage": ImageSwap,
    f"{_FAMILY}/faceswapvideomulti": VideoSwapMulti,
    f"{_FAMILY}/faceswapimagemulti": ImageSwapMulti,
}
"""The typed models, by their id."""


def check_model(model: str) -> None:
    """Raise `InputRefused` unless the id is 2 to 6 plain segments, at most 200 characters: it becomes part of a URL."""
    segments = model.split("/")
    plain = all(_SEGMENT.fullmatch(segment) and segment.strip(".") for segment in segments)
    if not plain or ".." in model or len(model) > 200 or not 2 <= len(segments) <= 6:
        raise InputRefused(
            "model",
            "is not a fal model id; give owner/app or owner/app/path, such as half-moon-ai/ai-face-swap/faceswapvideo",
        )


def check_input(model: str, fields: Mapping[str, object]) -> None:
    """Raise `InputRefused` unless the input fits the model; a model without a type here accepts anything.

    A file's extension is not checked: fal reads the file's type from its content.
    """
    check_model(model)
    kind = INPUTS.get(model)
    if kind is None:
        return
    checked = check_fields(kind, fields, of=model)
    for field in checked.__struct_fields__:
        value = getattr(checked, field)
        if "_url" in field and value is not None:
            check_file_url(field, value)
    if isinstance(checked, _TwoFaces) and checked.source_face_url_2 is not None and checked.source_gender_2 is None:
        raise InputRefused("source_gender_2", 'is required with source_face_url_2; give "female" or "male"')
