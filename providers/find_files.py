"""Finding files in a model's output, whose shape differs between models."""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ledger.records import Output
from providers.embedded_files import describe_data_uri, is_data_uri
from providers.json_scanner import LeftOut
from providers.reading import read_count, read_text
from providers.urls import read_file_url

MOST_OUTPUTS = 2000
"""Files that are listed of one outcome."""

_WORDS = re.compile(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*(?![a-z])")
_HTTP_URL = re.compile(r"\s*https?://", re.IGNORECASE)


def _named(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ECHOED = _named("input inputs request arguments")
"""What is below these names is what was sent to the model."""
_READING = _named(
    "doc docs documentation help license licence terms policy homepage website webhook callback support dashboard"
)
"""Words of names of links to read or to call."""
_ASKING = _named("status cancel response api upload schema queue")
"""Words of names of URLs to ask, unless they end as a file does."""
_GIVEN = _named("input inputs source target reference init prompt request")
"""Words of names of texts that repeat what was sent to the model. An object with a URL is a file all the same."""
_FILE = _named(
    "url urls uri uris file files output outputs result results download asset assets artifact artifacts image "
    "images img picture pictures photo photos thumbnail thumbnails thumb poster preview previews cover frame frames "
    "mask masks gif png jpg jpeg webp svg video videos clip clips mp4 webm movie animation audio audios sound music "
    "song speech voice wav mp3 subtitle subtitles caption captions srt vtt transcript pdf document documents zip "
    "archive mesh meshes glb gltf obj fbx stl ply usdz texture textures avatar render renders media data sample "
    "samples variation variations item items"
)
"""Words of names of files."""
_ENDING = re.compile(
    r"\.(?:png|jpe?g|webp|gif|avif|heic|tiff?|bmp|svg|exr|mp4|webm|mov|mkv|avi|m4v|m3u8|mp3|wav|flac|ogg|opus|m4a|aac|"
    r"pdf|zip|tar|gz|tgz|7z|glb|gltf|obj|fbx|stl|ply|usdz|splat|srt|vtt|ass|txt|csv|json|jsonl|npy|npz|parquet|"
    r"safetensors|ckpt|pt|pth|onnx|bin)$",
    re.IGNORECASE,
)


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The files of an output, at most `MOST_OUTPUTS`, and how many URLs are not among them."""

    outputs: tuple[Output, ...]
    beyond: int = 0
    unusable: int = 0

    def warning(self, *, provider: str, said: str | None = None) -> str | None:
        """Return what the user should know of the files, after what the provider `said`; None for nothing."""
        texts = [said]
        if self.beyond:
            texts.append(f"only the first {len(self.outputs)} files are listed")
            texts.append(f"URLs in the receipt beyond them: {self.beyond}")
        if self.unusable:
            texts.append(f"URLs in the receipt only, because they are malformed or too long: {self.unusable}")
        if not self.outputs and not any(texts):
            texts.append(f"{provider} completed the job, and no file was found in its output")
        return "; ".join(text for text in texts if text) or None


def find_files(payload: object, url_keys: Sequence[str]) -> Files:
    """List every file in a payload, in document order, each URL once, at most `MOST_OUTPUTS`.

    A file is an object with an http(s) URL or a data: URI under one of `url_keys`; its other fields describe it. It is
    also such a text alone: in a list or field whose name has a word for files, or with the ending of one in its path.
    Names decide what is no file: what the output repeats of its input, and links to other things.
    """
    found: dict[str, Output] = {}
    beyond = unusable = 0
    for mapping, value in _candidates(payload, frozenset(url_keys)):
        if isinstance(value, LeftOut):
            beyond += value.urls
            continue
        output = _describe(value, mapping)
        if output is None:
            unusable += 1
        elif output.url in found:
            continue
        elif len(found) < MOST_OUTPUTS:
            found[output.url] = output
        else:
            beyond += 1
    return Files(outputs=tuple(found.values()), beyond=beyond, unusable=unusable)


def _describe(value: str, mapping: Mapping[str, Any]) -> Output | None:
    embedded = is_data_uri(value)
    url = None if embedded else read_file_url(value)
    described = describe_data_uri(value) if embedded else Output(url=url) if url is not None else None
    if described is None or not mapping:
        return described
    return Output(
        url=described.url,
        content_type=described.content_type or read_text(mapping.get("content_type"), 255),
        file_name=read_text(mapping.get("file_name"), 255),
        file_size=described.file_size if embedded else read_count(mapping.get("file_size")),
        width=read_count(mapping.get("width")),
        height=read_count(mapping.get("height")),
    )


def _candidates(payload: object, url_keys: frozenset[str]) -> Iterator[tuple[Mapping[str, Any], str | LeftOut]]:
    """Yield what may be a file, with the object that describes it, and the numbers of URLs that were not kept."""
    pending: list[tuple[str, Mapping[str, Any], object]] = [("", {}, payload)]
    while pending:
        name, mapping, value = pending.pop()
        # Last in, first out: pushed in reverse, so that the first child comes next.
        if isinstance(value, dict):
            pending += reversed([_field(name, value, key, child, url_keys) for key, child in value.items()])
        elif isinstance(value, list):
            pending += [
                (name, {}, child) for child in reversed(value) if isinstance(child, dict | list | str | LeftOut)
            ]
        elif isinstance(value, LeftOut) or (isinstance(value, str) and _is_file(name, value, described=bool(mapping))):
            yield mapping, value


def _field(
    name: str, mapping: Mapping[str, Any], key: str, child: object, url_keys: frozenset[str]
) -> tuple[str, Mapping[str, Any], object]:
    if isinstance(child, str) and key in url_keys:
        return (f"{name}_{key}", {}, child) if _words(name) & _READING else (key, mapping, child)
    if isinstance(child, dict | list) and key in _ECHOED:
        return key, {}, None
    return key, {}, child


def _is_file(name: str, value: str, *, described: bool) -> bool:
    """Return whether a text is a file's URL, by its name, which is empty for an output of nothing else."""
    embedded = is_data_uri(value)
    if not embedded and not _HTTP_URL.match(value):
        return False
    words = _words(name)
    if described:
        return True
    if words & (_READING | _GIVEN):
        return False
    if embedded:
        return True
    if " " in value.strip() or (words & _ASKING and not _has_ending(value)):
        return False
    return not words or bool(words & _FILE) or _has_ending(value)


def _has_ending(url: str) -> bool:
    return _ENDING.search(re.split(r"[?#]", url[:8192], maxsplit=1)[0]) is not None


@functools.lru_cache(maxsize=1024)
def _words(name: str) -> frozenset[str]:
    words = [word.lower() for word in _WORDS.findall(name[:200])]
    return frozenset([*words, *(word.rstrip("0123456789") for word in words)]) - {""}
