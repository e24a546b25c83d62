"""Telemetry become log lines and metrics in one place, and no secret is ever among them."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from ledger.ledger import Ledger
from ledger.records import RecordResult
from outbound.targets import Targets
from providers.http import Request, Response, Unread
from receiver.notifier.attempts import AttemptSender
from receiver.notifier.notifier import Notifier
from submitter.accounts import FalAccount
from submitter.submit import Submitter
from telemetry import events as telemetry
from telemetry.events import Telemetry, configure_logs
from tests.ledger.conftest import ms
from tests.receiver.conftest import MakeHouse
from tests.receiver.endpoints import SECRETS
from tests.receiver.house import API_KEY, SECRET_KEY, House, callback_body

FAL_KEY = "fal-key-id:fal-key-secret"


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def info(self, fact: str, **fields: object) -> None:
        self.lines.append(("info", fact, fields))

    def warning(self, fact: str, **fields: object) -> None:
        self.lines.append(("warning", fact, fields))


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def emit(log: Log) -> Telemetry:
    return Telemetry(CollectorRegistry(), log=log)


def test_a_fact_is_one_line_with_its_fields(emit: Telemetry, log: Log) -> None:
    emit("job.accepted", job="job_1", provider="fal", model="a/b")
    assert log.lines == [("info", "job.accepted", {"job": "job_1", "provider": "fal", "model": "a/b"})]


@pytest.mark.parametrize(
    ("fact", "fields"),
    [
        *((fact, {}) for fact in sorted(telemetry._LOUD)),
        ("callback.recorded", {"result": "conflict"}),
        ("callback.recorded", {"result": "orphan"}),
        ("poll.recorded", {"result": "conflict"}),
        ("delivery.finished", {"state": "dead"}),
    ],
)
def test_what_somebody_should_read_is_a_warning(
    emit: Telemetry, log: Log, fact: str, fields: dict[str, object]
) -> None:
    emit(fact, **fields)
    assert [level for level, _, _ in log.lines] == ["warning"]


@pytest.mark.parametrize(
    ("fact", "fields"),
    [("callback.recorded", {"result": "duplicate"}), ("delivery.finished", {"state": "delivered"}), ("new.fact", {})],
)
def test_what_is_as_it_should_be_is_no_warning(emit: Telemetry, log: Log, fact: str, fields: dict[str, object]) -> None:
    emit(fact, **fields)
    assert [level for level, _, _ in log.lines] == ["info"]


def test_facts_are_counted_by_labels_with_few_values() -> None:
    registry = CollectorRegistry()
    emit = Telemetry(registry, log=Log())
    for number in range(100):
        emit("callback.refused", provider="fal", reason="token_foreign", client=f"10.0.0.{number}")
    lines = [line for line in generate_latest(registry).decode().splitlines() if "callback_refused_total{" in line]
    assert lines == ['renderhook_callback_refused_total{provider="fal",reason="token_foreign"} 100.0']


def test_a_label_that_is_not_given_is_empty_and_a_fact_may_have_none() -> None:
    registry = CollectorRegistry()
    emit = Telemetry(registry, log=Log())
    for _ in range(2):
        emit("keys.fetched", url="https://fal.example", number=1)
        emit("callback.refused", provider="fal", client="10.0.0.1")
        emit("new.fact", provider="fal")
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.endswith(" 2.0")]
    assert lines == [
        'renderhook_callback_refused_total{provider="fal",reason=""} 2.0',
        "renderhook_keys_fetched_total 2.0",
    ]


def test_no_label_is_an_identifier() -> None:
    """A label with as many values as there are jobs would fill Prometheus' memory."""
    labels = {label for labels in telemetry._COUNTED.values() for label in labels}
    assert labels <= {"provider", "state", "result", "reason", "code", "fault", "outcome", "kind"}


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """The lines that the process would write, with logging put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []

    def lines() -> list[str]:
        said = capsys.readouterr().err
        assert said.endswith("\n")
        return said.removesuffix("\n").split("\n")

    yield lines
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_json_line_is_one_json_object(written: Callable[[], list[str]]) -> None:
    configure_logs("json", "info")
    Telemetry(CollectorRegistry())("callback.refused", provider="fal", reason="token\nforeign")
    [line] = map(json.loads, written())
    assert (line["event"], line["reason"], line["level"]) == ("callback.refused", "token\nforeign", "info")


@pytest.mark.parametrize(
    ("value", "written_as"),
    [
        (RecordResult.RECORDED, "recorded"),
        (ValueError("no"), "ValueError('no')"),
        (("a", 1, None), ["a", 1, None]),
        ({"code": 2**70}, {"code": 2**70}),
        ("é\u2028\x00\x1b[31m", "é\u2028\x00\x1b[31m"),
        ("not UTF-8: \udcff", "not UTF-8: \udcff"),
        ({"\ud800": ValueError("no")}, {"\ud800": "ValueError('no')"}),
    ],
)
def test_a_json_line_is_written_whatever_is_in_it(
    written: Callable[[], list[str]], value: object, written_as: object
) -> None:
    configure_logs("json", "info")
    Telemetry(CollectorRegistry())("new.fact", value=value)
    [line] = written()
    assert json.loads(line)["value"] == written_as


def test_a_text_line_stays_one_line(written: Callable[[], list[str]]) -> None:
    configure_logs("text", "info")
    Telemetry(CollectorRegistry())("delivery.attempted", error="one\nrenderhook: forged line")
    [line] = written()
    assert "delivery.attempted" in line


def test_the_level_decides_what_is_written(written: Callable[[], list[str]]) -> None:
    configure_logs("json", "warning")
    emit = Telemetry(CollectorRegistry())
    emit("job.accepted", provider="fal")
    emit("endpoint.disabled", endpoint="ep_1")
    assert [json.loads(line)["event"] for line in written()] == ["endpoint.disabled"]


def submitter(house: House, send: object) -> Submitter:
    account = FalAccount(
        queue_url="https://queue.fal.run",
        key=FAL_KEY,
        tokens=house.tokens,
        public_url="https://renderhook.example",
        poll_every=5000,
        reconcile_every=60_000,
        give_up_after=86_400_000,
    )
    return Submitter(
        Ledger(house.store, house.clock),
        {"fal": account},
        send,  # type: ignore[arg-type]  # a function that is called as a Send is
        clock=house.clock,
        emit=house.emit,
        resubmit="never",
        lease_ms=60_000,
        give_up_after=3_600_000,
    )


async def test_no_secret_is_announced_from_the_request_to_the_notification(make_house: MakeHouse) -> None:
    house, sent = make_house(), []

    async def fal(request: Request) -> Response:
        sent.append(request)
        return Response(status=200, body=b'{"request_id": "req-1"}')

    async def endpoint(request: Request) -> Response:
        sent.append(request)
        if len(sent) == 2:
            raise Unread("ServerDisconnectedError: Server disconnected")
        return Response(status=200, body=b"the-answer-of-the-endpoint")

    body = {"provider": "fal", "model": "a/b", "input": {"prompt": "the-input-of-the-user"}}
    body |= {"notify": ["https://u.example/hooks/the-path?token=the-token-of-the-url"]}
    created = await house.http.post("/v1/jobs", json=body, headers={"idempotency-key": "the-idempotency-key"})
    job_id = created.json()["id"]
    for task in await house.story.fetch("submit", at=0):
        await submitter(house, fal).handle(task)
    await house.call_back(job_id, key=None)
    await house.call_back(job_id, headers=[*house.fal.sign(b""), ("x-fal-webhook-signature", "ab" * 64)])
    await house.http.post(f"/callbacks/fal/{house.tokens.sign(job_id)}x", content=b"")
    await house.http.get("/v1/jobs", headers={"authorization": "Bearer a-wrong-key-of-somebody"})
    sender = AttemptSender(
        Ledger(house.store, house.clock),
        endpoint,
        Targets(()),
        clock=house.clock,
        emit=house.emit,
        secrets=SECRETS,
        at_once=9,
    )
    notifier = Notifier(
        Ledger(house.store, house.clock), sender, clock=house.clock, shift_ms=20_000, stop=asyncio.Event(), at_once=1
    )
    for at in (0, 10):
        house.clock.now = ms(at)
        for task in await house.story.fetch("deliver", at=at):
            await notifier.handle(task)

    said = repr(house.heard) + (await house.http.get("/metrics")).text
    assert {"job.accepted", "job.submitted", "callback.recorded", "callback.refused", "delivery.finished"} <= {
        fact for fact, _ in house.heard
    }
    token = house.tokens.sign(job_id)
    signature = dict(house.fal.sign(callback_body()))["x-fal-webhook-signature"]
    secrets = [SECRET_KEY, API_KEY, FAL_KEY, "fal-key-secret", token, token.rpartition(".")[2], signature, "ab" * 64]
    secrets += [secret.decode() for secret in SECRETS]
    secrets += [request.headers.get("webhook-signature", "v1,none") for request in sent]
    secrets += ["the-input-of-the-user", "the-answer-of-the-endpoint", "the-idempotency-key", "a-wrong-key-of-somebody"]
    secrets += ["the-token-of-the-url", "the-path", "b.mp4"]
    assert [secret for secret in secrets if secret in said] == []
    assert len(sent) >= 4
