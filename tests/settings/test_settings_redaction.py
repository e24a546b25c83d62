"""Redaction: no secret, token, credential, password or query is left in a text of others, and nothing else is lost."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LedgerError
from providers.callback_tokens import CallbackTokens
from receiver.database import open_database
from receiver.settings import read_settings, redactor_of
from settings.redaction import REDACTED, Redactor, password_of, without_query
from tests.conftest import EmittedEvents
from work.shutdown import Shutdown

KEY = "0123abcd-key-id:the-secret-half-of-it"
WORD = "pass word/with+signs"
JOB = "job_0dhqk2v41s0123456789abcdef"
TOKEN = CallbackTokens(["a-secret-key-of-a-receiver"]).sign(JOB)
REDACT = Redactor([KEY, WORD, "short"])

HIDDEN = {
    "a key": (f"invalid key {KEY}, sorry", KEY),
    "the secret half of a key": ("unknown secret the-secret-half-of-it", "the-secret-half-of-it"),
    "a key in a URL": ("see ?x=pass%20word%2Fwith%2Bsigns", "word"),
    "a key in the path of a URL": ("see /pass%20word%2Fwith%2Bsigns/x", "word"),
    "a key that is cut": (f"your headers were Authorization Key {KEY[:20]}", KEY[:12]),
    "a key that is cut with an ellipsis": (f"you sent {KEY[:20]}…", KEY[:12]),
    "a callback URL": (f"cannot reach https://hooks.example/callbacks/fal/{TOKEN}", TOKEN[-20:]),
    "a callback URL in a query": (
        f"POST /a/b?fal_webhook=https%3A%2F%2Fhooks.example%2Fcallbacks%2Ffal%2F{TOKEN}",
        TOKEN[-20:],
    ),
    "a callback URL in JSON": (f'{{"fal_webhook": "https:\\/\\/h\\/callbacks/fal/{TOKEN}"}}', TOKEN[-20:]),
    "a token alone": (f"the token {TOKEN} is unknown", TOKEN[-20:]),
    "the query of a URL": ("cannot fetch https://b.s3.example/a.jpg?X-Amz-Signature=abcdef, timed out", "abcdef"),
    "a query without a name": ("cannot fetch https://b.example/a.jpg?abcdef", "abcdef"),
    "the query of a path": ("GET /a.jpg?sig=abcdef HTTP/1.1", "abcdef"),
    "user and password": ("cannot fetch https://me:pass@b.example/a.jpg", "pass"),
    "a password with an at sign": ("cannot fetch https://me:pa@ss@b.example/a.jpg", "ss@"),
    "a database's URL": ("postgres://me:pa-ss@db.example:5432/name refused", "pa-ss"),
    "a connection string": ("connection failed: host=db password='pa ss' user=me", "pa ss"),
    "an Authorization header": ('{"authorization": "Key abc:def"}', "abc:def"),
    "another key of that header": ("Authorization: Bearer abc.def", "abc.def"),
    "an X-Api-Key header": ("x-api-key=abcdef", "abcdef"),
    "a bearer token": ("got Bearer abcdefghijklmnopqrstuvwxyz", "abcdefgh"),
    "a notification's secret": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw is no secret", "MfKQ"),
}


@pytest.mark.parametrize(("text", "secret"), HIDDEN.values(), ids=HIDDEN.keys())
def test_what_is_secret_is_removed(text: str, secret: str) -> None:
    redacted = REDACT(text)
    assert secret not in redacted
    assert REDACTED in redacted
    assert REDACT(redacted) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "image_url: cannot fetch https://cdn.example/a/b.jpg, 404",
        "What is this? Nothing. See https://docs.example/errors#a",
        "the key is missing; a short key, too",
        "is it 5 > 3? yes",
        "HTTP 503",
        "passwords differ, basic plan exceeded",
        "me@example.com is not verified",
        "",
    ],
)
def test_what_is_not_secret_is_left_as_it_is(text: str) -> None:
    assert REDACT(text) == text


def test_where_a_failed_request_went_is_still_seen() -> None:
    assert REDACT("GET https://me:pw@b.example/a.jpg?sig=1 failed") == (
        f"GET https://{REDACTED}@b.example/a.jpg?{REDACTED} failed"
    )


def test_bytes_lose_only_the_secrets_that_are_known() -> None:
    body = f'{{"url": "https://a.example/?x=1", "key": "{KEY}"}}'.encode()
    assert REDACT.known(body) == f'{{"url": "https://a.example/?x=1", "key": "{REDACTED}"}}'.encode()


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_known_secret_is_never_left(before: str, after: str) -> None:
    assert KEY not in REDACT(before + KEY + after)


@pytest.mark.parametrize("part", ["://", "@", "?a=", "%3A%2F%2F", "/callbacks/a/", "key ", "a:", "password=", KEY[:-1]])
def test_long_texts_take_little_time(part: str) -> None:
    text = part * (100_000 // len(part))
    before = time.thread_time()
    REDACT(text)
    assert time.thread_time() - before < 0.5


def test_the_password_of_a_url_is_found() -> None:
    assert password_of("postgres://me:p%40ss@db/name") == "p@ss"
    assert [password_of(url) for url in ("sqlite:///a.db", "http://[", "")] == ["", "", ""]


def test_a_url_is_shown_without_what_only_its_owner_may_know() -> None:
    assert without_query("https://me:pw@h.example:8443/a/b?token=1#x") == f"https://h.example:8443/a/b?{REDACTED}"
    assert without_query("https://h.example/a") == "https://h.example/a"
    assert without_query("http://[") == REDACTED


def test_a_database_that_cannot_be_opened_is_named_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/{KEY}/x.db"
    settings = read_settings({"DATABASE_URL": url, "FAL_KEY": KEY})

    async def open_it() -> None:
        redact = redactor_of(settings)
        async with open_database(settings, emit=EmittedEvents(), redact=redact, shutdown=Shutdown(1)):
            pass

    with pytest.raises(LedgerError) as caught:
        asyncio.run(open_it())
    assert KEY not in str(caught.value)
