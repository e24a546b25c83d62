"""The receiver's settings: defaults, every fault at once, contradictions, secrets hidden, and their page up to date."""

import re
from pathlib import Path

import certifi
import pytest

from providers.fal.settings import FalSettings
from providers.heygen.settings import HeygenSettings
from receiver.setting_declarations import NO_ENDPOINT
from receiver.settings import Settings, SettingsError, read_settings
from receiver.settings_page import settings_page
from settings.setting import Declared, Setting, declared

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/settings.md"
DECLARED: dict[str, Setting] = {
    name: setting for kind in (Settings, FalSettings, HeygenSettings) for name, setting in declared(kind).items()
}
WHSEC = "whsec_" + "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
PRIVATE = {
    "SECRET_KEY": "the-secret-key-of-tests",
    "API_KEY": "the-api-key-of-the-tests",
    "FAL_KEY": "the-fal-key",
    "HEYGEN_API_KEY": "the-heygen-key",
    "NOTIFY_SECRET": WHSEC,
    "DATABASE_URL": "postgres://user:the-password@database.example/ledger",
}
PUBLIC = {"PUBLIC_URL": "https://renderhook.example", **PRIVATE}


def faults(**environment: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        read_settings(environment)
    assert str(refused.value).splitlines() == refused.value.faults
    return refused.value.faults


def test_defaults_are_a_receiver_on_loopback() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port, settings.public) == ("127.0.0.1", 8000, False)
    assert settings.database_url == "sqlite:///data/renderhook.db"
    assert (settings.database_connections, settings.database_timeout_seconds, settings.workers) == (5, 1.5, True)
    fal, heygen = settings.providers["fal"], settings.providers["heygen"]
    assert isinstance(fal, FalSettings)
    assert isinstance(heygen, HeygenSettings)
    assert fal.fal_queue_url == "https://queue.fal.run"
    assert fal.fal_jwks_url == "https://rest.fal.ai/.well-known/jwks.json"
    assert heygen.heygen_api_url == "https://api.heygen.com"
    assert (fal.fal_webhook_tolerance_seconds, settings.notify_timeout_seconds) == (300, 15)
    assert (heygen.heygen_poll_seconds, heygen.heygen_timeout_seconds) == (10, 600)
    assert (settings.resubmit_unconfirmed, settings.log_format, settings.log_level) == ("never", "text", "info")
    assert (settings.secret_key, settings.api_key, settings.notify_secret, settings.notify_url) == ((), (), (), None)


def test_empty_and_blank_values_are_unset() -> None:
    names = list(DECLARED)
    assert read_settings(dict.fromkeys(names, "")) == read_settings(dict.fromkeys(names, "  \n")) == read_settings({})
    assert read_settings({f"{name}_FILE": "" for name in names}) == read_settings({})


def test_port_binds_all_addresses_unless_host_is_set() -> None:
    assert (read_settings(PRIVATE | {"PORT": "5000"}).host, read_settings(PRIVATE | {"PORT": "5000"}).port) == (
        "0.0.0.0",
        5000,
    )
    assert read_settings({"PORT": "5000", "HOST": "127.0.0.1"}).host == "127.0.0.1"
    assert read_settings(PRIVATE | {"HOST": "::"}).host == "::"


def test_every_fault_is_reported_at_once() -> None:
    found = faults(
        PORT="x",
        PUBLIC_URL="ftp://x",
        FAL_POLL_SECONDS="0",
        LOG_FORMAT="xml",
        RESUBMIT_UNCONFIRMED="maybe",
        SECRET_KEY="short",
    )
    assert [fault.partition(":")[0] for fault in found] == [
        "PORT",
        "PUBLIC_URL",
        "SECRET_KEY",
        "RESUBMIT_UNCONFIRMED",
        "LOG_FORMAT",
        "FAL_POLL_SECONDS",
        "API_KEY",  # a PORT, even one that is no number, means a public address
    ]


def test_every_contradiction_is_reported_at_once() -> None:
    found = faults(PORT="80", NOTIFY_URL="https://u.example", DATABASE_URL="mysql://x")
    assert [fault.partition(":")[0] for fault in found] == [
        "SECRET_KEY",
        "API_KEY",
        "NOTIFY_SECRET",
        "DATABASE_URL",
    ]


@pytest.mark.parametrize(
    "reach",
    [{"PORT": "80"}, {"HOST": "0.0.0.0"}, {"HOST": "10.0.0.1"}, {"HOST": "::"}, {"PUBLIC_URL": "https://r.example"}],
)
@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEY"])
def test_a_public_address_requires_keys_and_the_fault_says_how_to_make_them(reach: dict[str, str], name: str) -> None:
    environment = {key: value for key, value in (PRIVATE | reach).items() if key != name}
    [fault] = faults(**environment)
    assert fault.startswith(f"{name}: must be set")
    assert 'python -c "import secrets; print(secrets.token_urlsafe(32))"' in fault
    read_settings(PRIVATE | reach)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_requires_no_keys(host: str) -> None:
    assert read_settings({"HOST": host}).public is False


def test_public_url_on_loopback_still_requires_a_secret_key() -> None:
    [fault] = faults(PUBLIC_URL="http://127.0.0.1:8000")
    assert fault.startswith("SECRET_KEY: must be set")
    read_settings({"PUBLIC_URL": "http://127.0.0.1:8000", "SECRET_KEY": PRIVATE["SECRET_KEY"]})


def test_notify_url_none_is_a_value_that_needs_no_secret() -> None:
    assert read_settings({"NOTIFY_URL": "none"}).notify_url == NO_ENDPOINT
    assert read_settings({"NOTIFY_URL": ""}).notify_url is None


def test_notify_url_requires_a_secret_and_the_suggested_command_makes_a_valid_one() -> None:
    [fault] = faults(NOTIFY_URL="https://u.example")
    command = re.search(r'python -c "(.*)"$', fault)
    assert command is not None
    made: list[str] = []
    exec(command[1], {"print": made.append})
    assert read_settings({"NOTIFY_URL": "https://u.example", "NOTIFY_SECRET": made[0]}).notify_secret


@pytest.mark.parametrize(
    "url", ["mysql://u:p@h/d", "postgres://", "postgresql:h/d", "postgres+psycopg://h/d", "sqlite:///", "sqlite://x"]
)
def test_unsupported_database_urls_are_refused_without_repeating_them(url: str) -> None:
    [fault] = faults(DATABASE_URL=url)
    assert fault.startswith("DATABASE_URL")
    assert "sqlite:///data/renderhook.db" in fault
    assert "postgres://user:password@host/name" in fault
    assert "u:p@" not in fault


@pytest.mark.parametrize("url", ["postgres://u:p@h/d", "postgresql://h/d", "postgresql://h1,h2/d?sslmode=require"])
def test_postgres_urls_have_two_schemes_and_allow_zero_workers(url: str) -> None:
    settings = read_settings({"DATABASE_URL": url, "WORKERS": "0"})
    assert (settings.database_url, settings.workers) == (url, False)


def test_sqlite_requires_workers() -> None:
    [fault] = faults(WORKERS="0")
    assert fault.startswith("WORKERS: must be 1")
    [fault] = faults(WORKERS="none")
    assert fault.startswith("WORKERS: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_CONNECTIONS", "2"), ("DATABASE_CONNECTIONS", "x"), ("DATABASE_TIMEOUT_SECONDS", "0")],
)
def test_too_few_connections_and_no_timeout_are_refused(name: str, value: str) -> None:
    [fault] = faults(**{name: value})
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize("url", ["sqlite:///data/x.db", "sqlite:////var/lib/x.db"])
def test_relative_and_absolute_sqlite_paths_are_accepted(url: str) -> None:
    assert read_settings({"DATABASE_URL": url}).database_url == url


def test_secrets_are_hidden_in_the_text_of_the_settings() -> None:
    settings = read_settings(PUBLIC)
    for text in (repr(settings), str(settings), f"{settings}"):
        assert not [value for value in PRIVATE.values() if value in text or value.removeprefix("whsec_") in text]
        assert "nnnnnnnn" not in text
        assert text.count("'***'") == len([name for name, each in DECLARED.items() if each.secret]) == len(PRIVATE)
        assert "host='127.0.0.1'" in text
    assert repr(read_settings({})).count("***") == 1  # DATABASE_URL is always set


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_faults_do_not_repeat_secrets(name: str) -> None:
    [fault] = faults(**{name: "a-bad\x07one"})
    assert fault.startswith(f"{name}: ")
    assert "a-bad" not in fault


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read_settings({}).port = 1  # type: ignore[misc]  # that it raises is the test


def test_name_file_reads_the_value_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key-in-a-file-1, the-key-in-a-file-0\n")
    settings = read_settings({"API_KEY_FILE": str(tmp_path / "key")})
    assert settings.api_key == ("the-key-in-a-file-1", "the-key-in-a-file-0")


def test_an_empty_file_is_an_unset_setting(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert read_settings({"API_KEY_FILE": str(tmp_path / "empty")}) == read_settings({})


def test_unreadable_files_and_values_given_twice_are_faults(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    found = faults(
        API_KEY_FILE=str(tmp_path / "nowhere"),
        SECRET_KEY="x" * 20,
        SECRET_KEY_FILE="x",
        FAL_KEY_FILE=str(tmp_path / "binary"),
    )
    assert [fault.partition(":")[0] for fault in found] == ["SECRET_KEY", "API_KEY_FILE", "FAL_KEY_FILE"]
    assert "not both" in found[0]
    assert "nowhere" in found[1]


def test_a_fault_of_a_file_is_the_only_fault_of_its_setting(tmp_path: Path) -> None:
    [fault] = faults(**PUBLIC | {"API_KEY": "", "API_KEY_FILE": str(tmp_path)})
    assert fault == f"API_KEY_FILE: cannot read {tmp_path}: Is a directory"


def test_variables_that_name_no_certificates_are_faults(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no certificate")
    assert faults(SSL_CERT_FILE="/nothing") == ["SSL_CERT_FILE: cannot read /nothing: No such file or directory"]
    [fault] = faults(SSL_CERT_FILE=str(tmp_path / "key.pem"))
    assert fault == f"SSL_CERT_FILE: {tmp_path / 'key.pem'} has no certificates in PEM format"
    assert faults(SSL_CERT_DIR="/nothing") == ["SSL_CERT_DIR: /nothing is not a folder"]
    read_settings({"SSL_CERT_FILE": certifi.where(), "SSL_CERT_DIR": f"/nothing:{tmp_path}"})


def test_no_two_structs_declare_the_same_setting() -> None:
    kinds: list[type[Declared]] = [Settings, FalSettings, HeygenSettings]
    assert len(DECLARED) == sum(len(declared(kind)) for kind in kinds)
    assert len(DECLARED) == sum(len(kind.__struct_fields__) for kind in kinds) - 1  # `providers` is not one


def test_the_page_of_settings_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == settings_page(), "run `make docs`"


def test_the_page_has_a_row_for_each_setting_with_default_and_meaning() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)`( \(secret\))? \| (.+?) \| .{10,} \|$", settings_page(), re.MULTILINE)
    assert [name for name, _, _ in rows] == [*DECLARED, "RENDERHOOK_URL"]
    for name, secret, default in rows[:-1]:
        setting = DECLARED[name]
        assert (bool(secret), default) == (setting.secret, f"`{setting.default}`" if setting.default else "none")
