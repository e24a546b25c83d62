"""Reads the settings that a Struct declares from the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from settings.setting import Setting, declared

Kind = TypeVar("Kind", bound=msgspec.Struct)

LONGEST_FILE = 65_536
"""Bytes of a file that holds a value."""

_QUOTATION_MARKS = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")


def read_struct(kind: type[Kind], environment: Mapping[str, str], faults: list[str], **others: object) -> Kind:
    """Read the settings that `kind` declares. `others` are its fields that are no settings.

    Every fault is appended to `faults` as "NAME: what is wrong and what would be right", or "NAME_FILE: …" for a value
    that is in a file. The value of a faulty setting is then None (or empty), so that the rest can be checked too.
    """
    values: dict[str, Any] = {
        name.lower(): _read(name, setting, environment, faults) for name, setting in declared(kind).items()
    }
    return kind(**values, **others)


def text_of(name: str, environment: Mapping[str, str]) -> str:
    """Return the text of `name`, or of the file that `name`_FILE names; empty if neither is set.

    Raises ValueError saying what is wrong.
    """
    given, file = _given(name, environment)
    if given and file:
        raise ValueError(f"set either {name} or {name}_FILE, not both")
    text = _content(Path(file)) if file else given
    _check_edges(text)
    return text


def _given(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    return environment.get(name, "").strip(), environment.get(f"{name}_FILE", "").strip()


def _read(name: str, setting: Setting, environment: Mapping[str, str], faults: list[str]) -> Any:
    given, file = _given(name, environment)
    try:
        text = text_of(name, environment) or setting.default
        if text is not None:
            return setting.read(text)
    except ValueError as error:
        faults.append(f"{name}_FILE: {error}" if file and not given else f"{name}: {error}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a reader of an installed provider may raise anything
        faults.append(f"{name}: its reader raised {type(error).__name__}")  # whose text may hold the value
    return () if setting.many else None


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE + 1)
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > LONGEST_FILE:
        raise ValueError(f"{path} is longer than {LONGEST_FILE} bytes")
    return text


def _check_edges(text: str) -> None:
    """Refuse what is no part of the value that was meant, and is not seen where settings are shown."""
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark, which is a part of the value: save it as UTF-8 without BOM")
    if len(text) > 1 and text[0] + text[-1] in _QUOTATION_MARKS:
        raise ValueError(
            "is in quotation marks, which are a part of the value here, as in a file of docker run --env-file: "
            "leave them out"
        )
