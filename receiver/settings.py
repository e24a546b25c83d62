"""Reads the settings once from the environment into one frozen value, with every fault reported at once.

An empty value is an unset one. `NAME_FILE` names a file that holds the value, as container secrets come.
"""

from collections.abc import Iterator, Mapping

import msgspec

from ledger.urls import fault_of_url, on_postgres
from providers.registry import discovered, fault_in
from receiver.setting_declarations import NO_ENDPOINT, Settings
from settings.certificates import certificate_faults
from settings.environment import read_struct

__all__ = ["Settings", "SettingsError", "read_settings"]


class SettingsError(Exception):
    """The settings cannot be used. `faults` has one sentence for each thing that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read every setting from `environment`. Raises SettingsError with all that is wrong, not only the first."""
    faults: list[str] = []
    settings = read_struct(Settings, environment, faults, providers={})
    found = discovered()
    faults += found.faults
    providers = {}
    for name, provider in found.providers.items():
        try:
            providers[name] = read_struct(provider.settings, environment, faults)
        except Exception as error:  # noqa: BLE001 - the Struct of an installed provider may raise anything
            faults.append(fault_in(found.labels[name], "making its settings", error))
    # A PaaS sets PORT and routes to every address; a laptop does neither. https://devcenter.heroku.com/articles/runtime-principles
    on_paas = bool(environment.get("PORT", "").strip())
    default_host = "0.0.0.0" if on_paas else "127.0.0.1"  # noqa: S104 - a PaaS reaches us no other way
    settings = msgspec.structs.replace(settings, host=settings.host or default_host, providers=providers)
    at_fault = {fault.partition(":")[0].removesuffix("_FILE") for fault in faults}
    faults += [f"{name}: {fault}" for name, fault in _contradictions(settings) if name not in at_fault]
    faults += certificate_faults(environment)
    if faults:
        raise SettingsError(faults)
    return settings


_MAKE_KEY = 'make one with python -c "import secrets; print(secrets.token_urlsafe(32))"'
_MAKE_WHSEC = (
    "make one with "
    "python -c \"import base64, secrets; print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
)


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that contradicts others, and what would be right."""
    for name in ("SECRET_KEY", "API_KEY"):
        if settings.public and not getattr(settings, name.lower()):
            where = settings.public_url or settings.host
            yield name, f"must be set, because {where} is a public address; {_MAKE_KEY}"
    if settings.public_url and not settings.secret_key and not settings.public:
        yield "SECRET_KEY", f"must be set, because callback addresses under PUBLIC_URL are signed with it; {_MAKE_KEY}"
    if settings.notify_url not in {None, NO_ENDPOINT} and not settings.notify_secret:
        yield "NOTIFY_SECRET", f"must be set, because NOTIFY_URL is and notifications are signed; {_MAKE_WHSEC}"
    database = settings.database_url or ""
    if (fault := fault_of_url(database)) is not None:
        yield "DATABASE_URL", fault
    elif not settings.workers and not on_postgres(database):
        yield "WORKERS", "must be 1, because DATABASE_URL is an SQLite file, which no other process can work on"
