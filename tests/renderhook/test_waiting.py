"""Waiting for a job, also while the receiver does not answer."""

import pytest

from tests.renderhook.conftest import JOB, Program
from tests.renderhook.scripted_server import CLOSED, Reply, ScriptedServer, reply

pytestmark = pytest.mark.usefixtures("pauses")


def test_wait_polls_less_and_less_often_and_prints_each_state_once(
    server: ScriptedServer, program: Program, pauses: list[float]
) -> None:
    states = ["accepted", "submitted", *["submitted"] * 8, "completed"]
    ended = JOB | {"outputs": [{"url": "https://example.com/1.mp4"}, {"url": "https://example.com/2.mp4"}]}
    server.replies = [reply(200, ended | {"state": state}) for state in states]
    done = program("wait", "job_1")
    assert (done.exit_code, done.stdout.split()) == (0, ["https://example.com/1.mp4", "https://example.com/2.mp4"])
    assert done.stderr.splitlines() == ["job_1 accepted", "job_1 submitted", "job_1 completed"]
    assert (pauses[0], pauses[-1]) == (0.5, 5.0)
    assert pauses == sorted(pauses)


@pytest.mark.parametrize("state", ["failed", "canceled", "expired"])
def test_a_job_that_ended_without_completing_exits_1(state: str, server: ScriptedServer, program: Program) -> None:
    error = {"fault": "network", "message": "connection reset"} if state != "canceled" else None
    server.replies = [reply(200, JOB | {"state": state, "error": error})]
    done = program("wait", "job_1")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [f"job_1 {state}", *(["network: connection reset"] if error else [])]


def test_wait_goes_on_while_the_receiver_restarts(server: ScriptedServer, program: Program) -> None:
    submitted, gateway = reply(200, JOB | {"state": "submitted"}), Reply(status=502)
    server.replies = [submitted, *[CLOSED] * 7, *[gateway] * 7, *[reply(503, {"detail": "starting"})] * 7, submitted]
    server.replies.append(reply(200, JOB))
    done = program("wait", "job_1")
    assert (done.exit_code, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert (lines[0], lines[-2:]) == ("job_1 submitted", ["job_1 submitted", "job_1 completed"])
    assert all(line.startswith("job_1 is not known: ") and line.endswith(". Waiting on") for line in lines[1:-2])


def test_wait_ends_when_the_receiver_refuses(server: ScriptedServer, program: Program) -> None:
    server.replies = [reply(200, JOB | {"state": "submitted"}), reply(404, {"detail": "there is no job job_1"})]
    assert program("wait", "job_1").exit_code == 3


def test_wait_does_not_wait_for_a_receiver_that_never_answered(server: ScriptedServer, program: Program) -> None:
    server.replies = [CLOSED]
    assert (program("wait", "job_1").exit_code, len(server.requests)) == (4, 3)


def test_a_receiver_that_does_not_come_back_in_time_is_no_answer(server: ScriptedServer, program: Program) -> None:
    server.replies = [reply(200, JOB | {"state": "submitted"}), CLOSED]
    done = program("wait", "job_1", "--timeout", "0.1")
    assert done.exit_code in {4, 5}
