"""Providers are found by name: the built-in ones, and those of installed packages."""

import sys
import typing
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import msgspec
import pytest

from providers.callback_tokens import CallbackTokens
from providers.errors import InvalidProvider
from providers.fal.provider import FalAccount
from providers.provider import ACCOUNT_MEMBERS, MEMBERS, WEBHOOK_MEMBERS, Account, Context, Provider, Webhook
from providers.registry import BUILT_IN, GROUP, discover, load, names, open_accounts, open_webhooks, providers
from settings.environment import read_struct


class NoSettings(msgspec.Struct):
    """The settings of a provider that has none."""


COMPLETE = dict.fromkeys(MEMBERS, None) | {"name": "other", "settings": NoSettings}


@pytest.fixture
def package() -> Iterator[ModuleType]:
    """An installed module; what tests set on it can be named by entry points."""
    module = ModuleType("an_installed_provider")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def entry_point(name: str, attribute: str = "PROVIDER") -> EntryPoint:
    return EntryPoint(name=name, value=f"an_installed_provider:{attribute}", group=GROUP)


def test_fal_and_heygen_are_built_in() -> None:
    assert list(providers()) == [each.name for each in BUILT_IN] == ["fal", "heygen"]


def test_an_installed_provider_is_found_by_its_entry_point(package: ModuleType) -> None:
    package.PROVIDER = SimpleNamespace(**COMPLETE)  # type: ignore[attr-defined]  # a module takes any attribute
    assert load([entry_point("other")])["other"] is package.PROVIDER


def test_a_name_that_is_taken_is_refused(package: ModuleType) -> None:
    package.PROVIDER = SimpleNamespace(**COMPLETE)  # type: ignore[attr-defined]  # a module takes any attribute
    with pytest.raises(InvalidProvider, match=r"fal \(an_installed_provider:PROVIDER\): another provider is named fal"):
        load([*BUILT_IN, entry_point("fal")])
    with pytest.raises(InvalidProvider, match="another provider is named other"):
        load([entry_point("other"), entry_point("other")])


@pytest.mark.parametrize("member", MEMBERS)
def test_an_object_that_lacks_a_member_is_refused_with_its_name(member: str, package: ModuleType) -> None:
    members = {name: value for name, value in COMPLETE.items() if name != member}
    package.PROVIDER = SimpleNamespace(**members)  # type: ignore[attr-defined]  # a module takes any attribute
    with pytest.raises(InvalidProvider, match=f"it has no {member}"):
        load([entry_point("other")])


@pytest.mark.parametrize("name", ["another", "Other", "other provider", "other/x", ""])
def test_a_name_that_differs_or_does_not_fit_into_a_url_is_refused(name: str, package: ModuleType) -> None:
    package.PROVIDER = SimpleNamespace(**(COMPLETE | {"name": name}))  # type: ignore[attr-defined]  # a module takes any attribute
    with pytest.raises(InvalidProvider, match="need one name"):
        load([entry_point(name if name != "another" else "other")])


def test_a_provider_that_cannot_be_imported_is_refused_with_the_reason(package: ModuleType) -> None:
    with pytest.raises(InvalidProvider, match="importing it raised AttributeError"):
        load([entry_point("other")])
    missing = EntryPoint(name="other", value="no.such.module:PROVIDER", group=GROUP)
    with pytest.raises(InvalidProvider, match="importing it raised ModuleNotFoundError"):
        load([missing])


@pytest.mark.parametrize(
    ("kind", "members"), [(Provider, MEMBERS), (Account, ACCOUNT_MEMBERS), (Webhook, WEBHOOK_MEMBERS)]
)
def test_the_registry_checks_every_member_of_the_interface(kind: type, members: tuple[str, ...]) -> None:
    assert {name for name in vars(kind) if not name.startswith("_")} == set(members)


def test_a_provider_is_given_its_name_the_public_url_and_the_tokens() -> None:
    assert typing.get_type_hints(Context).keys() == {"provider", "public_url", "tokens"}


def test_only_configured_providers_have_accounts() -> None:
    faults: list[str] = []
    environment = {"FAL_KEY": "kid:secret"}
    settings = {name: read_struct(each.settings, environment, faults) for name, each in providers().items()}
    accounts = open_accounts(
        settings, public_url="https://hooks.example", tokens=CallbackTokens(["a key of the tests"])
    )
    assert faults == []
    assert list(accounts) == ["fal"]
    assert isinstance(accounts["fal"], FalAccount)
    assert list(open_webhooks(settings)) == ["fal"]


@pytest.mark.parametrize("kind", [None, dict, 7, object()])
def test_settings_that_declare_nothing_are_refused(kind: object, package: ModuleType) -> None:
    package.PROVIDER = SimpleNamespace(**(COMPLETE | {"settings": kind}))  # type: ignore[attr-defined]  # a module takes any attribute
    with pytest.raises(InvalidProvider, match=r"the provider other \(an_installed_provider:PROVIDER\): its settings"):
        load([entry_point("other")])


def test_a_field_of_the_settings_that_is_no_setting_is_refused_by_name(package: ModuleType) -> None:
    kind = msgspec.defstruct("Odd", [("other_key", str)])
    package.PROVIDER = SimpleNamespace(**(COMPLETE | {"settings": kind}))  # type: ignore[attr-defined]  # a module takes any attribute
    with pytest.raises(InvalidProvider, match="fields without a Setting or a default: other_key"):
        load([entry_point("other")])


def test_every_provider_that_cannot_be_used_has_a_line_and_the_others_are_found(package: ModuleType) -> None:
    def leave() -> None:
        raise SystemExit("no licence")

    class Leaving(ModuleType):
        def __getattr__(self, name: str) -> None:
            leave()

    package.PROVIDER = SimpleNamespace(**COMPLETE)  # type: ignore[attr-defined]  # a module takes any attribute
    sys.modules["a_leaving_provider"] = Leaving("a_leaving_provider")
    leaving = EntryPoint(name="leaving", value="a_leaving_provider:PROVIDER", group=GROUP)
    found = discover([leaving, entry_point("other"), entry_point("missing", "MISSING")])
    del sys.modules["a_leaving_provider"]
    assert list(found.providers) == ["other"]
    first, second = found.faults
    assert first == "the provider leaving (a_leaving_provider:PROVIDER): importing it raised SystemExit: no licence"
    assert second.startswith("the provider missing (an_installed_provider:MISSING): importing it raised AttributeError")


def test_names_are_known_without_importing_a_provider() -> None:
    assert names() == [each.name for each in BUILT_IN]
