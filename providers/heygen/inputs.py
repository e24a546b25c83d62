"""Inputs of the two known workflows, checked before a job is submitted. Any other workflow passes through."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from providers.errors import InputRefused
from providers.typed_inputs import HttpUrl, check_fields, check_http_url

_WORKFLOW_TYPE = re.compile(r"[A-Za-z0-9_]{1,100}")


class Faceswap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The face of an image into a video. HeyGen fetches both, so data: URIs are refused."""

    source_image_url: HttpUrl
    target_video_url: HttpUrl


class Avatar(msgspec.Struct, frozen=True, kw_only=True):
    """The speaker."""

    avatar_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """The speech."""

    audio_url: HttpUrl


class AvatarInference(msgspec.Struct, frozen=True, kw_only=True):
    """An avatar speaking. Further fields are allowed: HeyGen documents this workflow only by an example."""

    avatar: Annotated[Avatar, msgspec.Meta(description='{"avatar_id": "..."}')]
    audio_list: Annotated[
        list[Audio], msgspec.Meta(min_length=1, description='a list such as [{"audio_url": "https://..."}]')
    ]


# https://github.com/heygen-com/skills-legacy
INPUTS: Mapping[str, type[msgspec.Struct]] = {"FaceswapNode": Faceswap, "AvatarInferenceNode": AvatarInference}
"""The typed workflows, by their `workflow_type`."""


def check_model(model: str) -> None:
    """Raise `InputRefused` unless the workflow type is 1 to 100 letters, digits and underscores."""
    if not _WORKFLOW_TYPE.fullmatch(model):
        raise InputRefused(
            "model", "is not a HeyGen workflow type; give letters, digits and underscores, such as FaceswapNode"
        )


def check_input(model: str, fields: Mapping[str, object]) -> None:
    """Raise `InputRefused` unless the input fits the workflow; a workflow without a type here accepts anything."""
    check_model(model)
    kind = INPUTS.get(model)
    if kind is None:
        return
    checked = check_fields(kind, fields, of=model)
    if isinstance(checked, Faceswap):
        check_http_url("source_image_url", checked.source_image_url)
        check_http_url("target_video_url", checked.target_video_url)
    if isinstance(checked, AvatarInference):
        for index, audio in enumerate(checked.audio_list):
            check_http_url(f"audio_list[{index}].audio_url", audio.audio_url)
