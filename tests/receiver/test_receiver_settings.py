"""Settings: read once, every fault at once, secrets hidden, and every one of them in the README's table."""

import re
from pathlib import Path

import pytest

from receiver import settings as module
from receiver.settings import SECRETS, Settings, SettingsError, read_settings

README = Path(__file__).resolve().parents[2] / "README.md"
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


def test_an_empty_environment_is_a_receiver_on_this_machine_alone() -> None:
    settings = read_settings({})
    assert (settings.host, settings.port, settings.public) == ("127.0.0.1", 8000, False)
    assert settings.database_url == "sqlite:///data/renderhook.db"
    assert (settings.database_connections, settings.database_timeout_seconds, settings.workers) == (5, 1.5, True)
    assert settings.fal_queue_url == "https://queue.fal.run"
    assert settings.fal_jwks_url == "https://rest.fal.ai/.well-known/jwks.json"
    assert settings.heygen_api_url == "https://api.heygen.com"
    assert (settings.fal_webhook_tolerance_seconds, settings.notify_timeout_seconds) == (300, 15)
    assert (settings.heygen_poll_seconds, settings.heygen_timeout_seconds) == (10, 600)
    assert (settings.resubmit_unconfirmed, settings.log_format, settings.log_level) == ("never", "text", "info")
    assert (settings.secret_key, settings.api_key, settings.notify_secret, settings.notify_url) == ((), (), (), None)


def test_an_empty_or_blank_value_is_an_unset_one() -> None:
    names = list(module._READERS)
    assert read_settings(dict.fromkeys(names, "")) == read_settings(dict.fromkeys(names, "  \n")) == read_settings({})
    assert read_settings({f"{name}_FILE": "" for name in names}) == read_settings({})


def test_port_binds_every_address_as_a_paas_needs_and_host_overrides() -> None:
    assert (read_settings(PRIVATE | {"PORT": "5000"}).host, read_settings(PRIVATE | {"PORT": "5000"}).port) == (
        "0.0.0.0",
        5000,
    )
    assert read_settings({"PORT": "5000", "HOST": "127.0.0.1"}).host == "127.0.0.1"
    assert read_settings(PRIVATE | {"HOST": "::"}).host == "::"


def test_every_fault_is_told_at_once() -> None:
    told = faults(
        PORT="x",
        PUBLIC_URL="ftp://x",
        FAL_POLL_SECONDS="0",
        LOG_FORMAT="xml",
        RESUBMIT_UNCONFIRMED="maybe",
        SECRET_KEY="short",
    )
    assert [re.split("[: ]", fault)[0] for fault in told] == [
        "PORT",
        "PUBLIC_URL",
        "SECRET_KEY",
        "FAL_POLL_SECONDS",
        "RESUBMIT_UNCONFIRMED",
        "LOG_FORMAT",
        "API_KEY",  # a PORT, even one that is no number, means a public address
    ]


def test_every_contradiction_is_told_at_once() -> None:
    told = faults(PORT="80", NOTIFY_URL="https://u.example", DATABASE_URL="mysql://x")
    assert [fault.split()[0].rstrip(":") for fault in told] == [
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
def test_who_can_be_reached_needs_keys_and_learns_how_to_make_one(reach: dict[str, str], name: str) -> None:
    environment = {key: value for key, value in (PRIVATE | reach).items() if key != name}
    [fault] = faults(**environment)
    assert fault.startswith(f"{name} is not set")
    assert 'python -c "import secrets; print(secrets.token_urlsafe(32))"' in fault
    read_settings(PRIVATE | reach)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_who_is_on_loopback_needs_none(host: str) -> None:
    assert read_settings({"HOST": host}).public is False


def test_callbacks_to_a_loopback_address_still_need_a_key_to_sign_with() -> None:
    [fault] = faults(PUBLIC_URL="http://127.0.0.1:8000")
    assert fault.startswith("SECRET_KEY")
    read_settings({"PUBLIC_URL": "http://127.0.0.1:8000", "SECRET_KEY": PRIVATE["SECRET_KEY"]})


def test_a_notify_url_needs_a_secret_and_the_command_that_is_told_makes_a_good_one() -> None:
    [fault] = faults(NOTIFY_URL="https://u.example")
    command = re.search(r'python -c "(.*)"$', fault)
    assert command is not None
    made: list[str] = []
    exec(command[1], {"print": made.append})
    assert read_settings({"NOTIFY_URL": "https://u.example", "NOTIFY_SECRET": made[0]}).notify_secret


@pytest.mark.parametrize(
    "url", ["mysql://u:p@h/d", "postgres://", "postgresql:h/d", "postgres+psycopg://h/d", "sqlite:///", "sqlite://x"]
)
def test_a_database_that_cannot_be_opened_is_refused_by_name(url: str) -> None:
    [fault] = faults(DATABASE_URL=url)
    assert fault.startswith("DATABASE_URL")
    assert "sqlite:///data/renderhook.db" in fault
    assert "postgres://user:password@host/name" in fault
    assert "u:p@" not in fault


@pytest.mark.parametrize("url", ["postgres://u:p@h/d", "postgresql://h/d", "postgresql://h1,h2/d?sslmode=require"])
def test_a_database_of_postgres_is_one_under_either_scheme_and_may_be_left_to_other_workers(url: str) -> None:
    settings = read_settings({"DATABASE_URL": url, "WORKERS": "0"})
    assert (settings.database_url, settings.workers) == (url, False)


def test_a_file_that_one_process_has_to_itself_needs_its_workers() -> None:
    [fault] = faults(WORKERS="0")
    assert fault.startswith("WORKERS is 0")
    [fault] = faults(WORKERS="none")
    assert fault.startswith("WORKERS: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_CONNECTIONS", "2"), ("DATABASE_CONNECTIONS", "x"), ("DATABASE_TIMEOUT_SECONDS", "0")],
)
def test_a_database_needs_some_connections_and_some_time(name: str, value: str) -> None:
    """One for each writer, and one for whoever reads."""
    [fault] = faults(**{name: value})
    assert fault.startswith(f"{name}: ")


@pytest.mark.parametrize("url", ["sqlite:///data/x.db", "sqlite:////var/lib/x.db"])
def test_a_relative_and_an_absolute_path_both_work(url: str) -> None:
    assert read_settings({"DATABASE_URL": url}).database_url == url


def test_no_secret_shows_in_the_settings_text() -> None:
    settings = read_settings(PUBLIC)
    for text in (repr(settings), str(settings), f"{settings}"):
        assert not [value for value in PRIVATE.values() if value in text or value.removeprefix("whsec_") in text]
        assert "nnnnnnnn" not in text
        assert text.count("'***'") == len(SECRETS) == len(PRIVATE)
        assert "host='127.0.0.1'" in text
    assert repr(read_settings({})).count("***") == 1  # an unset one is no secret; DATABASE_URL is never unset


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_no_secret_shows_in_a_fault(name: str) -> None:
    [fault] = faults(**{name: "a-bad\x07one"})
    assert fault.startswith(f"{name}: ")
    assert "a-bad" not in fault


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read_settings({}).port = 1  # type: ignore[misc]  # that is the point


def test_a_file_may_hold_a_value(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key-in-a-file-1, the-key-in-a-file-0\n")
    settings = read_settings({"API_KEY_FILE": str(tmp_path / "key")})
    assert settings.api_key == ("the-key-in-a-file-1", "the-key-in-a-file-0")


def test_an_empty_file_is_an_unset_value(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert read_settings({"API_KEY_FILE": str(tmp_path / "empty")}) == read_settings({})


def test_a_file_that_cannot_be_read_and_a_value_given_twice_are_faults(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    told = faults(
        API_KEY_FILE=str(tmp_path / "nowhere"),
        SECRET_KEY="x" * 20,
        SECRET_KEY_FILE="x",
        FAL_KEY_FILE=str(tmp_path / "binary"),
    )
    assert [fault.partition(":")[0] for fault in told] == ["SECRET_KEY", "API_KEY", "FAL_KEY"]
    assert "not both" in told[0]
    assert "nowhere" in told[1]


def test_every_reader_fills_a_field_and_every_field_has_a_reader() -> None:
    assert [name.lower() for name in module._READERS] == list(Settings.__struct_fields__)
    assert {name.lower() for name in module._MANY} <= set(Settings.__struct_fields__)
    assert set(Settings.__struct_fields__) >= SECRETS


def documented(text: str) -> dict[str, tuple[str, str]]:
    """Read the rows of the settings table, `| `NAME` | default | meaning |`, as name: (default, meaning)."""
    rows = re.findall(r"^\| *`([A-Z][A-Z_]*)` *\| *([^|]*?) *\| *(.*?) *\|$", text, re.MULTILINE)
    return {name: (default, meaning) for name, default, meaning in rows}


def test_every_setting_is_documented_with_its_default_and_no_other_is() -> None:
    rows = documented(README.read_text("utf-8"))
    assert set(module._READERS) - rows.keys() == set(), "in receiver/settings.py and not in README.md's table"
    for name, (_, default) in module._READERS.items():
        said, meaning = rows[name]
        assert meaning, name
        assert default is None or default in said.replace(",", "").replace(" ", ""), f"{name}: {said} is not {default}"


def test_the_check_of_the_readme_can_fail() -> None:
    rows = documented(
        "| name | default | meaning |\n|---|---|---|\n| `PORT` | 8000 | where to listen |\n`HOST` is one too\n"
    )
    assert rows == {"PORT": ("8000", "where to listen")}
