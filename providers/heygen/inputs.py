"""What the two known workflows take, checked before HeyGen is paid. Every other workflow passes through."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from providers.errors import InputRefused
from providers.typed_inputs import WebUrl, check_fields, check_web_url

_WORKFLOW_TYPE = re.compile(r"[A-Za-z0-9_]{1,100}")


class Faceswap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The face of an image into a video. HeyGen fetches both, so data: URIs will not do."""

    source_image_url: WebUrl
    target_video_url: WebUrl


class Avatar(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks."""

    avatar_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """What is spoken."""

    audio_url: WebUrl


class AvatarInference(msgspec.Struct, frozen=True, kw_only=True):
    """An avatar speaking. Further fields pass: HeyGen's own description of this workflow is only an example."""

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


def check_input(model: str, given: Mapping[str, object]) -> None:
    """Raise `InputRefused` unless the input fits the workflow; one that is not typed here takes anything."""
    check_model(model)
    kind = INPUTS.get(model)
    if kind is None:
        return
    checked = check_fields(kind, given, of=model)
    if isinstance(checked, Faceswap):
        check_web_url("source_image_url", checked.source_image_url)
        check_web_url("target_video_url", checked.target_video_url)
    if isinstance(checked, AvatarInference):
        for place, audio in enumerate(checked.audio_list):
            check_web_url(f"audio_list[{place}].audio_url", audio.audio_url)
