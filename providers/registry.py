"""The list of providers: fal, HeyGen, and every installed package with an entry point in `GROUP`.

A package declares one as `name = "package.module:PROVIDER"`, where PROVIDER is a `providers.provider.Provider`. The
code of an installed package may raise anything: each fault is one line that names the provider and its distribution.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from providers.callback_tokens import CallbackTokens
from providers.errors import InvalidProvider
from providers.provider import ACCOUNT_MEMBERS, MEMBERS, WEBHOOK_MEMBERS, Account, Context, Provider, Webhook
from providers.reading import read_text
from settings.setting import declared, secret_texts

GROUP = "renderhook.providers"

BUILT_IN = (
    EntryPoint(name="fal", value="providers.fal.provider:PROVIDER", group=GROUP),
    EntryPoint(name="heygen", value="providers.heygen.provider:PROVIDER", group=GROUP),
)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

T = TypeVar("T")


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """The usable providers by name, how a message names each, and what is wrong with the others."""

    providers: Mapping[str, Provider[Any]]
    labels: Mapping[str, str]
    faults: Sequence[str]


def names() -> list[str]:
    """Return the name of every provider, usable or not, the built-in ones first. Imports none of them."""
    return [name for name in dict.fromkeys(each.name for each in _declared()) if _NAME.fullmatch(name)]


@functools.cache
def discovered() -> Discovered:
    """Return every provider, and every fault. Nothing is raised."""
    return discover(_declared())


def providers() -> Mapping[str, Provider[Any]]:
    """Return every provider by its name, the built-in ones first. Raises `InvalidProvider`."""
    return _usable(discovered())


def load(declarations: Iterable[EntryPoint]) -> Mapping[str, Provider[Any]]:
    """Return the providers that the entry points declare, by their names. Raises `InvalidProvider`."""
    return _usable(discover(declarations))


def discover(declarations: Iterable[EntryPoint]) -> Discovered:
    """Import what the entry points declare. Nothing is raised."""
    found: dict[str, Provider[Any]] = {}
    labels: dict[str, str] = {}
    faults: list[str] = []
    for entry_point in declarations:
        label, name = _label(entry_point), entry_point.name
        if name in labels:
            faults.append(f"{label}: another provider is named {name}")
            continue
        labels[name] = label
        try:
            found[name] = _load(entry_point)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - another's code may raise anything
            faults.append(fault_in(label, "importing it", error))
    return Discovered(providers=MappingProxyType(found), labels=MappingProxyType(labels), faults=faults)


def open_accounts(
    settings: Mapping[str, msgspec.Struct], *, public_url: str | None, tokens: CallbackTokens
) -> dict[str, Account]:
    """Return the account of every configured provider. `settings` has the settings of each provider by its name.

    Raises `InvalidProvider`.
    """

    def open_account(provider: Provider[Any]) -> Account | None:
        context = Context(provider=provider.name, public_url=public_url, tokens=tokens)
        account: Account | None = provider.open(settings[provider.name], context)
        if account is not None:
            _check_members("its account", account, ACCOUNT_MEMBERS)
            if not all(type(each) is int and each > 0 for each in (account.poll_interval, account.give_up_after)):
                raise InvalidProvider("its account's poll_interval and give_up_after have to be milliseconds, as int")
        return account

    return _open_each("open", open_account, settings)


def open_webhooks(settings: Mapping[str, msgspec.Struct]) -> dict[str, Webhook[Any, Any, Any]]:
    """Return the webhook of every provider that has one. `settings` has the settings of each provider by its name.

    Raises `InvalidProvider`.
    """

    def open_webhook(provider: Provider[Any]) -> Webhook[Any, Any, Any] | None:
        webhook = provider.webhook(settings[provider.name])
        if webhook is not None:
            _check_members("its webhook", webhook, WEBHOOK_MEMBERS)
        return webhook

    return _open_each("webhook", open_webhook, settings)


def fault_in(label: str, step: str, error: BaseException, hidden: Iterable[str] = ()) -> str:
    """Return the line for an exception of a provider's code, or of a check of ours, without the `hidden` texts."""
    if isinstance(error, InvalidProvider):
        return f"{label}: {error}"
    text = str(error)
    for secret in hidden:
        text = text.replace(secret, "***")
    return f"{label}: {step} raised {type(error).__name__}: {read_text(text, 300) or 'without a message'}"


def _declared() -> list[EntryPoint]:
    return [*BUILT_IN, *sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value))]


def _usable(found: Discovered) -> Mapping[str, Provider[Any]]:
    if found.faults:
        raise InvalidProvider("\n".join(found.faults))
    return found.providers


def _open_each(
    step: str, open_one: Callable[[Provider[Any]], T | None], settings: Mapping[str, msgspec.Struct]
) -> dict[str, T]:
    opened: dict[str, T] = {}
    faults = []
    for name, provider in providers().items():
        try:
            one = open_one(provider)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - another's code may raise anything
            faults.append(fault_in(discovered().labels[name], step, error, secret_texts(settings[name])))
        else:
            if one is not None:
                opened[name] = one
    if faults:
        raise InvalidProvider("\n".join(faults))
    return opened


def _load(entry_point: EntryPoint) -> Provider[Any]:
    provider: Provider[Any] = entry_point.load()
    _check_members("it", provider, MEMBERS)
    if provider.name != entry_point.name or not _NAME.fullmatch(entry_point.name):
        raise InvalidProvider(
            f"its name is {provider.name!r}; the entry point and the provider need one name, of at most 32 "
            f"lower case letters, digits, - and _"
        )
    _check_settings(provider.settings)
    return provider


def _check_members(what: str, found: object, members: Iterable[str]) -> None:
    missing = [member for member in members if not hasattr(found, member)]
    if missing:
        raise InvalidProvider(f"{what} has no {', '.join(missing)}; see docs/how-to/add-a-provider.md")


def _check_settings(kind: object) -> None:
    if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        raise InvalidProvider(f"its settings have to be a Struct that declares them, not {kind!r}")
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    undeclared = [name for name in required if name.upper() not in declared(kind)]
    if undeclared:
        raise InvalidProvider(f"its settings have fields without a Setting or a default: {', '.join(undeclared)}")


def _label(entry_point: EntryPoint) -> str:
    """Name a provider, its entry point, and the distribution that declares it unless that is ours."""
    distribution = getattr(entry_point, "dist", None)
    origin = f" of {distribution.name} {distribution.version}" if distribution else ""
    return f"the provider {entry_point.name} ({entry_point.value}{origin})"
