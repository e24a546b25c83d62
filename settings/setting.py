"""The declaration of a setting: an annotation of the field that holds its value.

    class FalSettings(Declared, frozen=True, kw_only=True):
        fal_key: Annotated[str | None, Setting(read_token, secret=True, help="Your key at fal.")]

The environment's name is the field's in upper case: `FAL_KEY`.
"""

import functools
import typing
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

import msgspec


@dataclass(frozen=True)
class Setting:
    """How one setting is read and documented.

    `read` makes the value of the environment's text and raises ValueError saying what would be right. `default` is the
    text when it is unset; without one the value is None, or an empty tuple when it has `many` values. A `secret` is
    hidden wherever settings are shown. `help` is its meaning, in Markdown, for the page of settings.
    """

    read: Callable[[str], Any]
    _: KW_ONLY
    default: str | None = None
    secret: bool = False
    many: bool = False
    help: str


@functools.cache
def declared(kind: type[msgspec.Struct]) -> Mapping[str, Setting]:
    """Return the settings that the fields of `kind` declare, by their names in the environment, in order."""
    annotations = typing.get_type_hints(kind, include_extras=True)
    found = {name: annotations[name] for name in kind.__struct_fields__}
    return {
        name.upper(): note
        for name, annotation in found.items()
        for note in getattr(annotation, "__metadata__", ())
        if isinstance(note, Setting)
    }


def secret_texts(settings: msgspec.Struct) -> list[str]:
    """Return the texts of all secret values of `settings`."""
    found: list[str] = []
    for name, setting in declared(type(settings)).items():
        value = getattr(settings, name.lower()) if setting.secret else None
        values = value if isinstance(value, tuple) else (value,)
        found += [each.decode("latin-1") if isinstance(each, bytes) else str(each) for each in values if each]
    return found


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the Structs whose fields are settings: its text hides secrets."""

    def __repr__(self) -> str:
        settings = declared(type(self))
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        for name, value in shown.items():
            setting = settings.get(name.upper())
            if setting is not None and setting.secret and value:
                shown[name] = "***"
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
