"""Signatures of notifications: Standard Webhooks v1, one for each secret."""

import base64
import hashlib
import hmac

from receiver.notifier.signatures import signed_headers
from tests.conftest import NOON


def test_the_published_example_has_the_published_signature() -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhook.py
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', [secret], now=1_614_265_330_000)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_signs_newest_first() -> None:
    new, old = b"n" * 32, b"o" * 32
    headers = signed_headers("msg_1", b"{}", [new, old], now=NOON)
    message = b"msg_1.%d.{}" % (NOON // 1000)
    assert headers["webhook-signature"].split(" ") == [
        "v1," + base64.b64encode(hmac.new(secret, message, hashlib.sha256).digest()).decode() for secret in (new, old)
    ]


def test_the_timestamp_is_in_whole_seconds() -> None:
    assert signed_headers("msg_1", b"", [b"k"], now=NOON + 999)["webhook-timestamp"] == str(NOON // 1000)
    assert signed_headers("msg_1", b"", [b"k"], now=NOON + 1000)["webhook-timestamp"] == str(NOON // 1000 + 1)


def test_id_time_and_body_are_each_signed() -> None:
    signed = [
        signed_headers("msg_1", b"{}", [b"k" * 32], now=NOON),
        signed_headers("msg_2", b"{}", [b"k" * 32], now=NOON),
        signed_headers("msg_1", b"{ }", [b"k" * 32], now=NOON),
        signed_headers("msg_1", b"{}", [b"k" * 32], now=NOON + 1000),
    ]
    assert len({headers["webhook-signature"] for headers in signed}) == 4
