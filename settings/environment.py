"""Reads the settings that a Struct declares from the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from settings.setting import Setting, declared

Kind = TypeVar("Kind", bound=msgspec.Struct)


def read_struct(kind: type[Kind], environment: Mapping[str, str], faults: list[str], **others: object) -> Kind:
    """Read the settings that `kind` declares. `others` are its fields that are no settings.

    Every fault is appended to `faults` as "NAME: what is wrong and what would be right". The value of a faulty
    setting is then None (or empty), so that the rest can be checked too.
    """
    values: dict[str, Any] = {
        name.lower(): _read(name, setting, environment, faults) for name, setting in declared(kind).items()
    }
    return kind(**values, **others)


def _read(name: str, setting: Setting, environment: Mapping[str, str], faults: list[str]) -> Any:
    try:
        text = _text(name, environment) or setting.default
        if text is not None:
            return setting.read(text)
    except (ValueError, OSError) as error:
        faults.append(f"{name}: {error}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a reader of an installed provider may raise anything
        faults.append(f"{name}: its reader raised {type(error).__name__}")  # whose text may hold the value
    return () if setting.many else None


def _text(name: str, environment: Mapping[str, str]) -> str | None:
    text, file = environment.get(name, "").strip(), environment.get(f"{name}_FILE", "").strip()
    if text and file:
        raise ValueError(f"set either {name} or {name}_FILE, not both")
    if file:
        return Path(file).read_text(encoding="utf-8").strip() or None
    return text or None
