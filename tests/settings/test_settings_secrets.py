"""Secrets hide themselves wherever they are shown, and settings never repeat a faulty value."""

import json
import traceback

import msgspec
import pytest

from providers.callback_tokens import CallbackTokens
from providers.http import Request, Response
from providers.provider import Context
from providers.registry import open_accounts
from receiver.settings import Settings, SettingsError, read_settings
from settings.secrets import HIDDEN, Secret, SecretBytes, hide, reveal, texts_of
from settings.setting import declared, secret_texts

ENVIRONMENT = {
    "FAL_KEY": "the-fal-key-id:the-fal-secret",
    "HEYGEN_API_KEY": "the-heygen-key",
    "API_KEY": "the-first-api-key,the-second-api-key",
    "SECRET_KEY": "the-secret-key-of-callbacks",
    "NOTIFY_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "DATABASE_URL": "postgres://me:the-database-password@db.example/name",
}
PARTS = ["the-fal", "the-heygen", "the-first", "the-second", "the-secret", "MfKQ9r8G", "the-database-password"]


def shown(value: object) -> str:
    return f"{value} {value!r} %s" % (value,)


def test_a_secret_shows_itself_nowhere() -> None:
    for secret in (Secret("the-key"), SecretBytes(b"the-key")):
        for text in (
            str(secret),
            repr(secret),
            f"{secret}",
            f"{secret:>20}",
            shown([secret]),
        ):
            assert "the-key" not in text
            assert HIDDEN in text
    assert msgspec.json.encode({"key": Secret("the-key")}, enc_hook=repr) == b'{"key":"***"}'


def test_a_secret_is_used_as_the_text_that_it_is() -> None:
    secret = Secret("the-key")
    assert (secret, secret.encode(), reveal(secret), reveal("plain")) == ("the-key", b"the-key", "the-key", "plain")
    assert bytes(SecretBytes(b"ab")) == b"ab"
    assert type(reveal(secret)) is str
    assert hide((1, None)) == (1, None)
    assert texts_of((Secret("a"), SecretBytes(b"bytes"))) == ["a", "Ynl0ZXM"]


def test_settings_accounts_and_requests_do_not_show_their_secrets() -> None:
    settings = read_settings(ENVIRONMENT)
    accounts = open_accounts(settings.providers, public_url="https://h.example", tokens=CallbackTokens(["k" * 20]))
    texts = [shown(settings), shown(settings.providers), shown(accounts)]
    texts += [shown(value) for value in msgspec.structs.asdict(settings).values()]
    for account in accounts.values():
        texts.append(shown(account))
        request = account.submission(_Job())
        assert any("the-fal" in value or "the-heygen" in value for value in request.headers.values())
        texts.append(shown(request))
    for text in texts:
        assert [part for part in PARTS if part in text] == []


def test_the_secrets_of_all_settings_are_known() -> None:
    settings = read_settings(ENVIRONMENT)
    found = [*secret_texts(settings), *secret_texts(settings.providers["fal"])]
    for part in PARTS:
        assert part == "the-heygen" or any(part in text for text in found)


def test_a_request_shows_its_host_and_a_response_its_status() -> None:
    request = Request(
        method="POST", url="https://u:p@h.example/the-path?token=1", headers={"Authorization": "Key k"}, body=b"abc"
    )
    assert repr(request) == "Request(POST h.example, headers ['Authorization'], 3 bytes)"
    assert repr(Response(status=401, body=b"Key k")) == "Response(401, 5 bytes)"


FAULTY = "the-value!\n\x01 of-someone"


@pytest.mark.parametrize("name", declared(Settings).keys())
@pytest.mark.parametrize("value", [FAULTY, "https://me:the-value!@h.example/ x", "x" * 3000])
def test_a_faulty_setting_is_not_repeated(name: str, value: str) -> None:
    try:
        read_settings(ENVIRONMENT | {name: value})
    except SettingsError as error:
        text = "".join(traceback.format_exception(error)) + json.dumps(error.faults)
        assert "the-value" not in text
        assert "x" * 100 not in text


@pytest.mark.parametrize("name", ["FAL_KEY", "API_KEY", "FAL_POLL_SECONDS", "ALLOW_PRIVATE_TARGETS"])
def test_a_secret_in_the_place_of_a_files_name_is_not_repeated(name: str) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(SettingsError, match=f"{name}_FILE: cannot read the file: No such file") as caught:
        read_settings(environment | {f"{name}_FILE": "/the-value-of-someone"})
    assert "the-value" not in str(caught.value)


class _Job:
    id = "job_1"
    model = "a/b"
    input = "{}"
    provider_request_id = status_url = response_url = cancel_url = None


def test_a_context_does_not_show_the_keys_that_sign() -> None:
    context = Context(provider="fal", public_url="https://h", tokens=CallbackTokens(["the-key-that-signs"]))
    assert "the-key-that-signs" not in shown(context)
