"""Settings: read once from the environment into one frozen value, every fault reported together.

An empty value is an unset one. `NAME_FILE` names a file that holds the value, as container secrets come.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from ledger.urls import UNREADABLE, is_ambiguous, on_postgres
from settings.readers import (
    read_base_url,
    read_choice,
    read_count,
    read_keys,
    read_log_level,
    read_path,
    read_resubmit,
    read_seconds,
    read_secrets,
    read_targets,
    read_text,
    read_token,
    read_url,
)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, checked. Field names are the environment's, in lower case; see the table in README.md."""

    host: str
    port: int
    public_url: str | None
    database_url: str
    database_connections: int
    database_timeout_seconds: float
    workers: bool
    secret_key: tuple[str, ...]
    api_key: tuple[str, ...]
    fal_key: str | None
    fal_queue_url: str
    fal_jwks_url: str
    fal_webhook_user_id: str | None
    fal_webhook_tolerance_seconds: int
    fal_poll_seconds: float
    fal_reconcile_seconds: float
    fal_timeout_seconds: float
    heygen_api_key: str | None
    heygen_api_url: str
    heygen_api_path: str
    heygen_poll_seconds: float
    heygen_timeout_seconds: float
    notify_url: str | None
    notify_secret: tuple[bytes, ...]
    notify_timeout_seconds: float
    notify_concurrency: int
    allow_private_targets: tuple[str, ...]
    resubmit_unconfirmed: Literal["never"] | int
    provider_timeout_seconds: float
    provider_concurrency: int
    submit_timeout_seconds: float
    max_connections: int
    max_body_bytes: int
    max_waiting_writes: int
    stop_seconds: float
    log_format: str
    log_level: str

    def __repr__(self) -> str:
        """Show what may be shown: secrets are asterisks."""
        shown = {name: "***" if name in SECRETS and value else value for name, value in self.items()}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def items(self) -> list[tuple[str, Any]]:
        """List the settings' names and values."""
        return list(msgspec.structs.asdict(self).items())

    @property
    def public(self) -> bool:
        """Whether anybody but this machine may reach us."""
        return not _is_loopback(self.host) or (
            self.public_url is not None and not _is_loopback(urlsplit(self.public_url).hostname or "")
        )


SECRETS = frozenset({"database_url", "secret_key", "api_key", "fal_key", "heygen_api_key", "notify_secret"})

_READERS: dict[str, tuple[Callable[[str], Any], str | None]] = {
    # name: (how its text is read, the text when it is unset; None leaves the field None or empty)
    "HOST": (read_text, None),
    "PORT": (lambda text: read_count(text, 1, 65535), None),
    "PUBLIC_URL": (read_base_url, None),
    "DATABASE_URL": (read_text, "sqlite:///data/renderhook.db"),
    "DATABASE_CONNECTIONS": (lambda text: read_count(text, 4, 1000), "5"),
    "DATABASE_TIMEOUT_SECONDS": (read_seconds, "1.5"),
    "WORKERS": (lambda text: read_choice(text, ("1", "0")) == "1", "1"),
    "SECRET_KEY": (read_keys, None),
    "API_KEY": (read_keys, None),
    "FAL_KEY": (read_token, None),
    "FAL_QUEUE_URL": (read_base_url, "https://queue.fal.run"),
    "FAL_JWKS_URL": (read_url, "https://rest.fal.ai/.well-known/jwks.json"),
    "FAL_WEBHOOK_USER_ID": (read_text, None),
    "FAL_WEBHOOK_TOLERANCE_SECONDS": (lambda text: read_count(text, 1, 3600), "300"),
    "FAL_POLL_SECONDS": (read_seconds, "5"),
    "FAL_RECONCILE_SECONDS": (read_seconds, "60"),
    "FAL_TIMEOUT_SECONDS": (read_seconds, "86400"),
    "HEYGEN_API_KEY": (read_token, None),
    "HEYGEN_API_URL": (read_base_url, "https://api.heygen.com"),
    "HEYGEN_API_PATH": (read_path, "/v1/workflows/executions"),
    "HEYGEN_POLL_SECONDS": (read_seconds, "10"),
    "HEYGEN_TIMEOUT_SECONDS": (read_seconds, "600"),
    "NOTIFY_URL": (read_url, None),
    "NOTIFY_SECRET": (read_secrets, None),
    "NOTIFY_TIMEOUT_SECONDS": (read_seconds, "15"),
    "NOTIFY_CONCURRENCY": (lambda text: read_count(text, 1, 1000), "256"),
    "ALLOW_PRIVATE_TARGETS": (read_targets, None),
    "RESUBMIT_UNCONFIRMED": (read_resubmit, "never"),
    "PROVIDER_TIMEOUT_SECONDS": (read_seconds, "30"),
    "PROVIDER_CONCURRENCY": (lambda text: read_count(text, 1, 1000), "32"),
    "SUBMIT_TIMEOUT_SECONDS": (read_seconds, "3600"),
    "MAX_CONNECTIONS": (lambda text: read_count(text, 1, 100_000), "1000"),
    "MAX_BODY_BYTES": (lambda text: read_count(text, 1024, 1 << 30), "4194304"),
    "MAX_WAITING_WRITES": (lambda text: read_count(text, 1, 1_000_000), "10000"),
    "STOP_SECONDS": (read_seconds, "4"),
    "LOG_FORMAT": (lambda text: read_choice(text, ("json", "text")), "text"),
    "LOG_LEVEL": (read_log_level, "info"),
}
"""The order is the README's. FAL_WEBHOOK_TOLERANCE_SECONDS is fal's own: its documentation says 300."""

_MANY = frozenset({"SECRET_KEY", "API_KEY", "NOTIFY_SECRET", "ALLOW_PRIVATE_TARGETS"})


class SettingsError(Exception):
    """The environment does not make sense. `faults` has one sentence for each thing that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read every setting from `environment`. Raises SettingsError with all that is wrong, not only the first."""
    faults: list[str] = []
    values: dict[str, Any] = {}
    for name, (read, default) in _READERS.items():
        values[name.lower()] = () if name in _MANY else None
        try:
            text = _text(environment, name) or default
            if text is not None:
                values[name.lower()] = read(text)
        except (ValueError, OSError) as error:
            faults.append(f"{name}: {error}")
    # A PaaS sets PORT and routes to every address; a laptop does neither. https://devcenter.heroku.com/articles/runtime-principles
    on_paas = bool(environment.get("PORT", "").strip())
    values["host"] = values["host"] or ("0.0.0.0" if on_paas else "127.0.0.1")  # noqa: S104 - a PaaS reaches us no other way
    values["port"] = values["port"] or 8000
    settings = Settings(**values)  # with gaps where a value is at fault: good enough to see what else is wrong
    at_fault = {fault.partition(":")[0] for fault in faults}
    faults += [fault for name, fault in _contradictions(settings) if name not in at_fault]
    if faults:
        raise SettingsError(faults)
    return settings


def _text(environment: Mapping[str, str], name: str) -> str | None:
    text, file = environment.get(name, "").strip(), environment.get(f"{name}_FILE", "").strip()
    if text and file:
        raise ValueError(f"set either {name} or {name}_FILE, not both")
    if file:
        return Path(file).read_text(encoding="utf-8").strip() or None
    return text or None


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that does not go with the others, and what would."""
    make = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
    for name in ("SECRET_KEY", "API_KEY"):
        if settings.public and not getattr(settings, name.lower()):
            where = settings.public_url or settings.host
            yield name, f"{name} is not set, and {where} is a public address: make one with {make}"
    if settings.public_url and not settings.secret_key and not settings.public:
        yield "SECRET_KEY", f"SECRET_KEY is not set: fal's callbacks to PUBLIC_URL need it; make one with {make}"
    if settings.notify_url and not settings.notify_secret:
        make = (
            "python -c \"import base64, secrets; print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
        )
        yield (
            "NOTIFY_SECRET",
            f"NOTIFY_SECRET is not set, and NOTIFY_URL is: notifications are signed; make one with {make}",
        )
    database = settings.database_url or ""
    if not re.match(r"^sqlite:///[^/]|^sqlite:////.|^postgres(ql)?://.", database):
        yield (
            "DATABASE_URL",
            "DATABASE_URL: must be sqlite:///path, such as sqlite:///data/renderhook.db, or postgres://user:password@host/name",
        )
    elif on_postgres(database) and is_ambiguous(database):
        yield "DATABASE_URL", UNREADABLE
    elif not settings.workers and not on_postgres(database):
        yield (
            "WORKERS",
            "WORKERS is 0, and DATABASE_URL is a file that one process has to itself: nobody else can do the work",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
