"""The list of providers: fal, HeyGen, and every installed package with an entry point in `GROUP`.

A package declares one as `name = "package.module:PROVIDER"`, where PROVIDER is a `providers.provider.Provider`.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import msgspec

from providers.callback_tokens import CallbackTokens
from providers.errors import InvalidProvider
from providers.provider import MEMBERS, Account, Context, Provider, Webhook

GROUP = "renderhook.providers"

BUILT_IN = (
    EntryPoint(name="fal", value="providers.fal.provider:PROVIDER", group=GROUP),
    EntryPoint(name="heygen", value="providers.heygen.provider:PROVIDER", group=GROUP),
)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@functools.cache
def providers() -> Mapping[str, Provider[Any]]:
    """Return every provider by its name, the built-in ones first. Raises `InvalidProvider`."""
    installed = sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value))
    return MappingProxyType(load([*BUILT_IN, *installed]))


def load(declared: Iterable[EntryPoint]) -> dict[str, Provider[Any]]:
    """Return the providers that the entry points declare, by their names. Raises `InvalidProvider`."""
    found: dict[str, Provider[Any]] = {}
    for entry_point in declared:
        if entry_point.name in found:
            raise InvalidProvider(f"{_label(entry_point)}: another provider is named {entry_point.name}")
        found[entry_point.name] = _load(entry_point)
    return found


def open_accounts(
    settings: Mapping[str, msgspec.Struct], *, public_url: str | None, tokens: CallbackTokens
) -> dict[str, Account]:
    """Return the account of every configured provider. `settings` has the settings of each provider by its name."""
    found: dict[str, Account] = {}
    for name, provider in providers().items():
        context = Context(provider=name, public_url=public_url, tokens=tokens)
        account: Account | None = provider.open(settings[name], context)
        if account is not None:
            found[name] = account
    return found


def open_webhooks(settings: Mapping[str, msgspec.Struct]) -> dict[str, Webhook[Any, Any, Any]]:
    """Return the webhook of every provider that has one. `settings` has the settings of each provider by its name."""
    webhooks = {name: provider.webhook(settings[name]) for name, provider in providers().items()}
    return {name: webhook for name, webhook in webhooks.items() if webhook is not None}


def _load(entry_point: EntryPoint) -> Provider[Any]:
    label = _label(entry_point)
    try:
        provider = entry_point.load()
    except Exception as error:  # importing another's package may raise anything
        raise InvalidProvider(f"{label}: it cannot be imported: {type(error).__name__}: {error}") from error
    missing = [member for member in MEMBERS if not hasattr(provider, member)]
    if missing:
        raise InvalidProvider(f"{label}: it has no {', '.join(missing)}; see docs/how-to/add-a-provider.md")
    if provider.name != entry_point.name or not _NAME.fullmatch(entry_point.name):
        raise InvalidProvider(
            f"{label}: its name is {provider.name!r}; the entry point and the provider need one name, of at most 32 "
            f"lower case letters, digits, - and _"
        )
    loaded: Provider[Any] = provider
    return loaded


def _label(entry_point: EntryPoint) -> str:
    return f"the provider {entry_point.name} ({entry_point.value})"
