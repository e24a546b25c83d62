"""Published keys: one fetch for all callers, used for a day, stale ones if a fetch fails, few fetches for forgeries."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from nacl.signing import SigningKey

from providers.fal.callbacks import FalWebhook, published_keys
from providers.http import NeverSent, Request, Response, Unread
from receiver.callbacks.keys import KeyRing, Keys, KeysUnavailable, open_keys
from tests.conftest import NOON, Clock, EmittedEvents
from tests.receiver.harness import Receiver, callback_body, jwks, until

ONE, TWO = SigningKey(b"1" * 32), SigningKey(b"2" * 32)
HOUR = 3600
PUBLISHED = published_keys("https://fal.example/jwks")


class Publisher:
    """A `Send` that returns `says`, once `open` is set."""

    def __init__(self) -> None:
        self.says: Response | Exception = Response(status=200, body=jwks(ONE))
        self.asked: list[Request] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        await self.open.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def fal() -> Publisher:
    return Publisher()


@pytest.fixture
async def ring(fal: Publisher, clock: Clock, emitted: EmittedEvents) -> AsyncIterator[KeyRing]:
    made = KeyRing("fal", PUBLISHED, fal, clock=clock, emit=emitted)
    yield made
    await made.close()


def raw(keys: Keys | None) -> list[bytes]:
    assert keys is not None
    return [bytes(key) for key in keys.verify_keys]


async def test_a_hundred_concurrent_callers_cause_one_fetch(ring: KeyRing, fal: Publisher) -> None:
    fal.open.clear()
    waiting = [asyncio.create_task(ring.current()) for _ in range(100)]
    await until(lambda: bool(fal.asked))
    fal.open.set()
    found = await asyncio.gather(*waiting)
    assert len(fal.asked) == 1
    assert (fal.asked[0].method, fal.asked[0].url) == ("GET", "https://fal.example/jwks")
    assert {id(keys) for keys in found} == {id(found[0])}


async def test_a_cancelled_caller_does_not_cancel_the_fetch(ring: KeyRing, fal: Publisher) -> None:
    fal.open.clear()
    gone, stays = asyncio.create_task(ring.current()), asyncio.create_task(ring.current())
    await until(lambda: bool(fal.asked))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gone.cancelled()
    fal.open.set()
    assert raw(await stays) == [bytes(ONE.verify_key)]
    assert len(fal.asked) == 1


async def test_the_fetch_goes_on_when_every_caller_is_cancelled(ring: KeyRing, fal: Publisher) -> None:
    fal.open.clear()
    gone = asyncio.create_task(ring.current())
    await until(lambda: bool(fal.asked))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    fal.open.set()
    await ring.current()
    assert len(fal.asked) == 1


async def test_keys_are_kept(ring: KeyRing, fal: Publisher, clock: Clock) -> None:
    assert ring.fresh is None
    first = await ring.current()
    clock.pass_seconds(12 * HOUR - 1)
    assert await ring.current() is first
    assert ring.fresh is first
    assert len(fal.asked) == 1


async def test_keys_older_than_twelve_hours_are_not_fresh(ring: KeyRing, fal: Publisher, clock: Clock) -> None:
    """Or callers that check `fresh` first would use them forever."""
    await ring.current()
    clock.pass_seconds(12 * HOUR)
    assert ring.fresh is None


async def test_after_twelve_hours_keys_are_fetched_in_the_background(
    ring: KeyRing, fal: Publisher, clock: Clock
) -> None:
    first = await ring.current()
    clock.pass_seconds(12 * HOUR)
    fal.says = Response(status=200, body=jwks(TWO))
    fal.open.clear()
    assert await ring.current() is first  # at once, although fal does not answer
    await until(lambda: len(fal.asked) == 2)
    assert await ring.current() is first
    fal.open.set()

    async def fresh() -> bool:
        return raw(await ring.current()) == [bytes(TWO.verify_key)]

    await until(fresh)
    assert len(fal.asked) == 2


async def test_after_a_day_keys_are_fetched_before_they_are_used(ring: KeyRing, fal: Publisher, clock: Clock) -> None:
    await ring.current()
    clock.pass_seconds(24 * HOUR)
    fal.says = Response(status=200, body=jwks(TWO))
    assert raw(await ring.current()) == [bytes(TWO.verify_key)]


async def test_stale_keys_are_used_while_fal_is_down(
    ring: KeyRing, fal: Publisher, clock: Clock, emitted: EmittedEvents
) -> None:
    first = await ring.current()
    clock.pass_seconds(100 * HOUR)
    fal.says = NeverSent("connection refused")
    assert [await ring.current() for _ in range(3)] == [first] * 3
    assert len(fal.asked) == 2  # and none within two seconds
    assert [fact["error"] for fact in emitted.named("keys.fetch_failed")] == ["connection refused"]


async def test_a_failed_refresh_is_not_repeated_at_once(ring: KeyRing, fal: Publisher, clock: Clock) -> None:
    first = await ring.current()
    clock.pass_seconds(13 * HOUR)
    fal.says = Unread("reset")
    for _ in range(20):
        assert await ring.current() is first
        await asyncio.sleep(0)
    assert len(fal.asked) == 2


@pytest.mark.parametrize(
    "says",
    [
        NeverSent("refused"),
        Unread("timed out"),
        Response(status=500, body=jwks(ONE)),
        Response(status=404),
        Response(status=200, body=b"<html>"),
        Response(status=200, body=b'{"keys": []}'),
        Response(status=200, body=b'{"keys": [{"x": "short"}]}'),
        Response(status=200, body=b'{"keys": [{"x": "' + b"A" * 43 + b'"}]}'),
        Response(status=200, body=b"[" * 5000),
        Response(status=204),
    ],
    ids=["refused", "timed out", "500", "404", "not JSON", "no keys", "no usable key", "small order", "nested", "204"],
)
async def test_without_keys_verification_is_unavailable(
    ring: KeyRing, fal: Publisher, clock: Clock, emitted: EmittedEvents, says: Response | Exception
) -> None:
    fal.says = says
    with pytest.raises(KeysUnavailable):
        await ring.current()
    assert len(emitted.named("keys.fetch_failed")) == 1
    fal.says = Response(status=200, body=jwks(ONE))
    with pytest.raises(KeysUnavailable):
        await ring.current()  # no fetch within two seconds of a failure
    assert len(fal.asked) == 1
    clock.pass_seconds(2)
    assert raw(await ring.current()) == [bytes(ONE.verify_key)]


async def test_an_unusable_response_never_replaces_keys(ring: KeyRing, fal: Publisher, clock: Clock) -> None:
    first = await ring.current()
    clock.pass_seconds(25 * HOUR)
    fal.says = Response(status=200, body=b'{"keys": []}')
    assert await ring.current() is first


async def test_a_set_with_status_203_is_used(ring: KeyRing, fal: Publisher) -> None:
    fal.says = Response(status=203, body=jwks(ONE))
    assert raw(await ring.current()) == [bytes(ONE.verify_key)]


@pytest.mark.parametrize("hours", [-1, 24, -24, 10_000])
async def test_the_age_of_keys_does_not_depend_on_the_time_of_day(
    fal: Publisher, emitted: EmittedEvents, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    ring = open_keys("fal", FalWebhook(user_id=None, tolerance_seconds=300, keys=PUBLISHED), fal, emit=emitted)
    first = await ring.current()
    monkeypatch.setattr(time, "time_ns", lambda: NOON * 1_000_000 + hours * 3600 * 10**9)
    assert ring.fresh is first
    assert await ring.newer_than(first) is None  # not a minute old
    later = time.monotonic_ns() + 61 * 10**9
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    fal.says = NeverSent("refused")
    with pytest.raises(KeysUnavailable):
        await ring.newer_than(first)
    monkeypatch.setattr(time, "time_ns", lambda: NOON * 1_000_000)
    monkeypatch.setattr(time, "monotonic_ns", lambda: later + 2 * 10**9)
    fal.says = Response(status=200, body=jwks(TWO))
    assert raw(await ring.newer_than(first)) == [bytes(TWO.verify_key)]
    await ring.close()


async def test_a_signature_that_no_key_matches_causes_one_fetch_a_minute(
    ring: KeyRing, fal: Publisher, clock: Clock
) -> None:
    first = await ring.current()
    clock.pass_seconds(59.999)
    assert await ring.newer_than(first) is None
    clock.pass_seconds(0.001)
    fal.says = Response(status=200, body=jwks(TWO))
    second = await ring.newer_than(first)
    assert raw(second) == [bytes(TWO.verify_key)]
    assert await ring.newer_than(first) is second  # fetched in the meantime
    assert second is not None
    assert await ring.newer_than(second) is None
    assert len(fal.asked) == 2


async def test_an_unknown_key_is_unavailable_while_fal_is(ring: KeyRing, fal: Publisher, clock: Clock) -> None:
    first = await ring.current()
    clock.pass_seconds(61)
    fal.says = NeverSent("refused")
    with pytest.raises(KeysUnavailable):
        await ring.newer_than(first)
    with pytest.raises(KeysUnavailable):
        await ring.newer_than(first)
    assert len(fal.asked) == 2


async def test_a_failed_prefetch_is_emitted_and_not_raised(
    ring: KeyRing, fal: Publisher, emitted: EmittedEvents
) -> None:
    fal.says = NeverSent("refused")
    await ring.prefetch()
    assert [name for name, _ in emitted] == ["keys.fetch_failed"]


async def test_closing_cancels_a_fetch_in_progress(ring: KeyRing, fal: Publisher) -> None:
    fal.open.clear()
    waiting = asyncio.create_task(ring.current())
    await until(lambda: bool(fal.asked))
    await ring.close()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()


async def test_a_thousand_concurrent_forgeries_cause_one_fetch(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.keys.prefetch()
    receiver.clock.pass_seconds(61)
    headers = receiver.fal.sign(callback_body(), key=TWO)
    answers = await asyncio.gather(*(receiver.call_back(job_id, headers=headers) for _ in range(1000)))
    assert {answer.status_code for answer in answers} == {401}
    assert receiver.fal.fetches == 2  # the first one, and one for all of them
