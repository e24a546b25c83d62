"""Providers are found by name: the built-in ones, and those of installed packages."""

import sys
import typing
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest

from providers.callback_tokens import CallbackTokens
from providers.errors import InvalidProvider
from providers.fal.provider import FalAccount
from providers.provider import MEMBERS, Context, Provider
from providers.registry import BUILT_IN, GROUP, load, open_accounts, open_webhooks, providers
from settings.environment import read_struct

COMPLETE = dict.fromkeys(MEMBERS, None) | {"name": "other"}


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
    with pytest.raises(InvalidProvider, match="cannot be imported: AttributeError"):
        load([entry_point("other")])
    missing = EntryPoint(name="other", value="no.such.module:PROVIDER", group=GROUP)
    with pytest.raises(InvalidProvider, match="cannot be imported: ModuleNotFoundError"):
        load([missing])


def test_the_registry_checks_every_member_of_the_interface() -> None:
    declared = {name for name in vars(Provider) if not name.startswith("_")}
    assert declared == set(MEMBERS)
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
