"""Settings that are probably not meant, and what is said of each."""

import pytest

from receiver.setting_warnings import setting_warnings
from receiver.settings import read_settings

KEYS = {"SECRET_KEY": "the-secret-key-of-tests", "API_KEY": "the-api-key-of-the-tests", "FAL_KEY": "the-fal-key"}


def flagged(*accounts: str, **environment: str) -> dict[str, str]:
    return dict(setting_warnings(read_settings(environment), environment, accounts))


def test_settings_that_fit_together_are_not_flagged() -> None:
    surroundings = {"PATH": "/bin", "HOME": "/var/app", "HOSTNAME": "web-1", "RENDERHOOK_URL": "", "API_KEY_FILE": ""}
    heroku = {"HEROKU_APP_NAME": "x", "DATABASE_POOLER_URL": "x", "DYNO": "web.1", "WEB_CONCURRENCY": "2", "PORTS": "1"}
    assert flagged("fal", **KEYS, **surroundings, **heroku, PUBLIC_URL="https://hooks.example.com") == {}


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("FALKEY", "FAL_KEY"),
        ("NOTIFY_URLS", "NOTIFY_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("fal_key", "FAL_KEY"),
        ("HEYGEN_APIKEY", "HEYGEN_API_KEY"),
        ("SECRETKEY_FILE", "SECRET_KEY"),
        ("RENDERHOOK_URI", "RENDERHOOK_URL"),
    ],
)
def test_a_variable_that_resembles_a_setting_is_named_with_what_may_be_meant(variable: str, meant: str) -> None:
    assert flagged("fal", **KEYS, **{variable: "x"}) == {variable: f"not a setting, and ignored: is {meant} meant?"}


@pytest.mark.parametrize("variable", ["FAL_KEY_ID", "HEYGEN_TOKEN", "NOTIFY_TO", "RENDERHOOK_DEBUG"])
def test_a_variable_with_a_prefix_of_ours_is_named(variable: str) -> None:
    page = "not a setting, and ignored: docs/reference/settings.md lists them"
    assert flagged("fal", **KEYS, **{variable: "x"}) == {variable: page}


def test_a_receiver_without_any_providers_key_is_flagged() -> None:
    [(names, message)] = flagged(API_KEY=KEYS["API_KEY"]).items()
    assert names == "FAL_KEY or HEYGEN_API_KEY"
    assert message.startswith("no provider has a key, so every job is refused")


def test_a_receiver_without_api_key_says_that_a_proxy_needs_one() -> None:
    assert flagged("fal")["API_KEY"].endswith("With a proxy in front, set it")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://hooks.example.com", "begins with http"),
        ("https://10.0.0.5", "not a public address"),
        ("https://app.localhost", "not a public address"),
    ],
)
def test_a_public_url_that_providers_cannot_use_is_flagged(url: str, words: str) -> None:
    [(name, message)] = flagged("fal", **KEYS, PUBLIC_URL=url).items()
    assert name == "PUBLIC_URL"
    assert message.startswith(words)


def test_a_public_url_on_loopback_is_for_a_sandbox_and_not_flagged() -> None:
    assert flagged("fal", **KEYS, PUBLIC_URL="http://127.0.0.1:8000") == {}
