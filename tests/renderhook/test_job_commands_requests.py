"""What the command line makes of what it is given, and of answers that go wrong on the way."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from renderhook import job_commands as command_line
from renderhook.job_commands import main
from tests.submitter.standing import API_KEY, Standing

JOB = {"id": "job_1", "state": "completed", "outputs": [], "error": None}

Answers = Callable[[httpx.Request], httpx.Response]


class Receiver:
    """Stands in for httpx.request: answers in order, the last for ever, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, method: str, url: str, **asked: Any) -> httpx.Response:
        sent = httpx.Request(method, url, json=asked["json"], headers=asked["headers"])
        self.asked.append(sent)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def input(self) -> Any:
        return json.loads(self.asked[-1].content)["input"]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Instead of sleeping: how long it would have been."""
    taken: list[float] = []
    monkeypatch.setattr(command_line.time, "sleep", taken.append)
    return taken


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Callable[..., Result]:
    def asked(receiver: Receiver, *words: str) -> Result:
        monkeypatch.setattr(httpx, "request", receiver)
        return CliRunner().invoke(main, words, env={"RENDERHOOK_URL": None, "API_KEY": None})

    return asked


Ask = Callable[..., Result]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("3", 3),
        ("-0.5", -0.5),
        ("null", None),
        ('"3"', "3"),
        ('{"a": [1, "b"]}', {"a": [1, "b"]}),
        ("Angela", "Angela"),
        ("a=b=c", "a=b=c"),
        ("", ""),
        ("NaN", "NaN"),
        ("{broken", "{broken"),
        ("https://example.com/a.mp4?x=1#fault=lost", "https://example.com/a.mp4?x=1#fault=lost"),
        ("schön", "schön"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_that_is_json_is_taken_as_that_and_any_other_as_text(text: str, value: object, ask: Ask) -> None:
    receiver = Receiver(httpx.Response(202, json=JOB))
    assert ask(receiver, "fal", "a/b", f"key={text}").exit_code == 0
    assert receiver.input() == {"key": value}


@pytest.mark.parametrize("text", ["1e999", "[" * 100_000])
def test_a_value_that_cannot_be_sent_is_one_line_or_text(text: str, ask: Ask) -> None:
    receiver = Receiver(httpx.Response(202, json=JOB))
    done = ask(receiver, "fal", "a/b", f"key={text}")
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert done.exit_code in {0, 2}
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("a=1", "a=1"), "KEY=VALUE: a is given twice"),
        (("novalue",), "KEY=VALUE: 'novalue' is not key=value"),
        (("=x",), "KEY=VALUE: '=x' is not key=value"),
        (("--metadata", "novalue"), "--metadata: 'novalue' is not key=value"),
    ],
)
def test_inputs_that_are_no_pairs_are_refused_before_anything_is_asked(
    words: tuple[str, ...], complaint: str, ask: Ask
) -> None:
    receiver = Receiver(httpx.Response(202, json=JOB))
    done = ask(receiver, "fal", "a/b", *words)
    assert (done.exit_code, done.stdout, receiver.asked) == (2, "", [])
    assert complaint in done.stderr


def test_a_retried_post_carries_the_same_key_and_another_command_another(ask: Ask, pauses: list[float]) -> None:
    receiver = Receiver(httpx.ReadTimeout("lost"), httpx.Response(503), httpx.Response(202, json=JOB))
    assert ask(receiver, "heygen", "FaceswapNode").exit_code == 0
    keys = [asked.headers["idempotency-key"] for asked in receiver.asked]
    assert (len(keys), len(set(keys)), pauses) == (3, 1, [1.0, 1.0])
    ask(receiver, "heygen", "FaceswapNode")
    assert receiver.asked[-1].headers["idempotency-key"] not in keys


def test_a_post_whose_answer_was_lost_makes_one_job(
    receiver: Standing, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    really, lost = httpx.request, []

    def losing(*words: Any, **asked: Any) -> httpx.Response:
        answer = really(*words, **asked)
        if not lost:
            lost.append(answer.json()["id"])
            raise httpx.ReadError("the answer was lost")
        return answer

    monkeypatch.setattr(httpx, "request", losing)
    words = ("--url", receiver.url, "--api-key", API_KEY, "fal", "sandbox/any", "x=1")
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stdout.split()) == (0, lost)


@pytest.mark.parametrize(
    ("answer", "said", "times"),
    [
        (httpx.Response(503, json={"detail": "the disk is full"}), "503: the disk is full", 3),
        (httpx.Response(422, json={"detail": "input.x: no"}), "422: input.x: no", 1),
        (httpx.Response(404, html="<h1>Not found</h1>"), "404: this does not look like a receiver", 1),
        (httpx.Response(500, json=[]), "500: this does not look like a receiver", 1),
        (httpx.Response(302, headers={"location": "/"}), "302: this does not look like a receiver", 1),
        (httpx.Response(200, html="<h1>Welcome to nginx!</h1>"), "200: this does not look like a receiver", 1),
        (httpx.Response(200, json=["a", "list"]), "200: this does not look like a receiver", 1),
        (httpx.ConnectError("refused"), "no receiver answers at http://127.0.0.1:8000 (refused)", 3),
        (httpx.UnsupportedProtocol("ftp"), "no receiver answers at", 1),
    ],
)
@pytest.mark.parametrize("words", [("status", "job_1"), ("wait", "job_1"), ("fal", "a/b")])
def test_an_answer_that_is_no_help_is_one_line(
    words: tuple[str, ...], answer: httpx.Response | Exception, said: str, times: int, ask: Ask
) -> None:
    receiver = Receiver(answer)
    done = ask(receiver, *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"submitter: {said}")
    assert len(receiver.asked) == times


def test_a_job_id_cannot_lead_elsewhere(ask: Ask) -> None:
    receiver = Receiver(httpx.Response(200, json=JOB))
    ask(receiver, "status", "../endpoints?x=1#y")
    assert receiver.asked[0].url.raw_path == b"/v1/jobs/..%2Fendpoints%3Fx%3D1%23y"


def test_waiting_looks_less_and_less_often_and_tells_each_state_once(ask: Ask, pauses: list[float]) -> None:
    states = ["accepted", "submitted", *["submitted"] * 8, "completed"]
    ended = JOB | {"outputs": [{"url": "https://example.com/1.mp4"}, {"url": "https://example.com/2.mp4"}]}
    done = ask(Receiver(*(httpx.Response(200, json=ended | {"state": state}) for state in states)), "wait", "job_1")
    assert (done.exit_code, done.stdout.split()) == (0, ["https://example.com/1.mp4", "https://example.com/2.mp4"])
    assert done.stderr.splitlines() == ["job_1 accepted", "job_1 submitted", "job_1 completed"]
    assert (pauses[0], pauses[-1]) == (0.5, 5.0)
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("state", ["failed", "canceled", "expired"])
def test_a_job_that_ended_otherwise_exits_1(state: str, ask: Ask) -> None:
    error = {"fault": "network", "message": "nobody knows"} if state != "canceled" else None
    done = ask(Receiver(httpx.Response(200, json=JOB | {"state": state, "error": error})), "wait", "job_1")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [f"job_1 {state}", *(["network: nobody knows"] if error else [])]
