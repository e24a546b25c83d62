"""What the commands for jobs send, and what they do with every kind of response. The server is on loopback."""

import json

import pytest
from click.testing import CliRunner

from renderhook import cli
from renderhook.cli import main
from sandbox.demo.processes import free_port
from tests.renderhook.conftest import JOB, Program
from tests.renderhook.scripted_server import CLOSED, Reply, ScriptedServer, reply

LAST_PAGE: dict[str, object] = {"jobs": [], "next_cursor": None}


pytestmark = pytest.mark.usefixtures("pauses")


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
def test_a_value_that_is_json_is_sent_as_that_and_any_other_as_text(
    text: str, value: object, server: ScriptedServer, program: Program
) -> None:
    assert program("fal", "a/b", f"key={text}").exit_code == 0
    [request] = server.requests
    assert request.body == {"provider": "fal", "model": "a/b", "input": {"key": value}, "metadata": {}, "notify": []}


@pytest.mark.parametrize("text", ["1e999", "[" * 100_000])
def test_a_value_that_json_cannot_hold_is_one_clear_error_or_sent_as_text(text: str, program: Program) -> None:
    done = program("fal", "a/b", f"key={text}")
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
def test_inputs_that_are_not_pairs_are_refused_before_any_request(
    words: tuple[str, ...], complaint: str, server: ScriptedServer, program: Program
) -> None:
    done = program("fal", "a/b", *words)
    assert (done.exit_code, done.stdout, server.requests) == (2, "", [])
    assert complaint in done.stderr


def test_a_retried_post_has_the_same_idempotency_key_and_another_command_has_another(
    server: ScriptedServer, program: Program, pauses: list[float]
) -> None:
    server.replies = [CLOSED, Reply(status=502, body=b"<h1>Bad Gateway</h1>"), reply(503, {}), reply(202, JOB)]
    done = program("heygen", "FaceswapNode")
    assert (done.exit_code, done.stdout) == (0, "job_1\n")
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert (len(keys), len(set(keys)), pauses) == (4, 1, [1.0, 2.0, 4.0])
    shown = done.stderr.splitlines()
    assert [line.partition("; trying again under ")[2] for line in shown] == [f"Idempotency-Key {keys[0]}"] * 3
    assert shown[1].startswith("renderhook: 502: a gateway answered")
    program("heygen", "FaceswapNode")
    assert server.requests[-1].headers["idempotency-key"] not in keys


def test_the_api_key_is_sent_as_a_bearer_token(server: ScriptedServer, program: Program) -> None:
    program("status", "job_1")
    program("--api-key", "first, second", "status", "job_1")
    assert [request.headers.get("authorization") for request in server.requests] == [None, "Bearer first"]


def test_a_submission_without_any_answer_ends_with_the_key_to_go_on_with(
    server: ScriptedServer, program: Program
) -> None:
    server.replies = [Reply(status=504)]
    done = program("fal", "a/b")
    key = server.requests[0].headers["idempotency-key"]
    assert (done.exit_code, done.stdout, len(server.requests)) == (4, "", 4)
    assert done.stderr.splitlines()[-2:] == [
        "renderhook: 504: a gateway answered",
        "renderhook: it is unknown whether the job was created: the same command with --idempotency-key "
        f"{key} creates no other",
    ]
    server.requests, server.replies = [], [reply(202, JOB)]
    assert program("fal", "a/b", "--idempotency-key", key).exit_code == 0
    assert server.requests[0].headers["idempotency-key"] == key


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (reply(503, {"detail": "the disk is full"}), "503: the disk is full"),
        (reply(422, {"detail": "input.x: no"}), "422: input.x: no"),
        (Reply(status=404, body=b"<h1>Not found</h1>"), "404: this is not a receiver's response"),
        (reply(500, []), "500: this is not a receiver's response"),
        (Reply(status=302), "302: this is not a receiver's response"),
        (Reply(body=b"<h1>Welcome to nginx!</h1>"), "200: this is not a receiver's response"),
        (reply(200, ["a", "list"]), "200: this is not a receiver's response"),
        (reply(200, {"detail": "an object"}), "200: this is not a receiver's response"),
        (CLOSED, "no receiver answers at http://127.0.0.1:"),
    ],
)
@pytest.mark.parametrize("words", [("status", "job_1"), ("wait", "job_1"), ("jobs",)])
def test_a_response_without_a_job_is_one_clear_error(
    words: tuple[str, ...], response: Reply, error: str, server: ScriptedServer, program: Program
) -> None:
    server.replies = [response]
    done = program(*words)
    assert (done.exit_code, done.stdout) == (3 if response.status == 422 else 4, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"renderhook: {error}")
    assert len(server.requests) == (3 if response.status in {0, 503} else 1)


@pytest.mark.parametrize(
    ("response", "code", "requests"),
    [(reply(422, {"detail": "input.x: no"}), 3, 1), (reply(500, []), 4, 1), (Reply(status=404), 4, 1), (CLOSED, 4, 4)],
)
def test_a_refused_submission_is_told_from_one_without_an_answer(
    response: Reply, code: int, requests: int, server: ScriptedServer, program: Program
) -> None:
    server.replies = [response]
    done = program("fal", "a/b")
    assert (done.exit_code, done.stdout, len(server.requests)) == (code, "", requests)
    assert ("--idempotency-key" in done.stderr) is (code == 4)


def test_an_unreachable_receiver_is_retried_and_then_one_clear_error(program: Program, pauses: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = program("status", "job_1", url=url)
    assert (done.exit_code, done.stdout, pauses) == (4, "", [1.0, 1.0])
    [line] = done.stderr.splitlines()
    assert line.startswith(f"renderhook: no receiver answers at {url} (")


SECRETS = ["the-secret\nkey", "the-secret\r\nX: y", "the-secret\x00", "the-secret-schlüssel", "the-secret\u2028k"]


@pytest.mark.parametrize("key", SECRETS, ids=ascii)
@pytest.mark.parametrize("words", [("status", "job_1"), ("wait", "job_1"), ("fal", "a/b"), ("jobs",)])
def test_an_api_key_that_no_header_can_hold_is_named_by_its_option_and_not_shown(
    words: tuple[str, ...], key: str, server: ScriptedServer, program: Program
) -> None:
    done = program("--api-key", key, *words)
    assert (done.exit_code, done.stdout, server.requests) == (2, "", [])
    assert done.stderr == "renderhook: --api-key: must be one line of printable ASCII characters\n"


def test_an_api_key_of_the_environment_is_named_by_its_setting(server: ScriptedServer) -> None:
    environment = {"RENDERHOOK_URL": server.url, "API_KEY": "the-secret\nkey"}
    done = CliRunner().invoke(main, ["jobs"], env=environment)
    assert (done.exit_code, server.requests) == (2, [])
    assert done.stderr == "renderhook: API_KEY: must be one line of printable ASCII characters\n"


def test_an_idempotency_key_that_no_header_can_hold_is_refused(server: ScriptedServer, program: Program) -> None:
    done = program("fal", "a/b", "--idempotency-key", "order\n1")
    assert (done.exit_code, server.requests) == (2, [])
    assert done.stderr == "renderhook: --idempotency-key: must be one line of printable ASCII characters\n"


@pytest.mark.parametrize("url", ["http://user:the-password@127.0.0.1:1", "http://user:the-password@[::1\n"])
def test_a_password_in_the_url_is_not_shown(url: str, program: Program) -> None:
    done = program("status", "job_1", url=url)
    assert done.exit_code == 4
    [line] = done.stderr.splitlines()
    assert line.startswith("renderhook: no receiver answers at http://***@")
    assert "the-password" not in line


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://127.0.0.1:port"])
def test_a_url_that_can_never_be_reached_is_not_retried(url: str, program: Program, pauses: list[float]) -> None:
    done = program("status", "job_1", url=url)
    assert (done.exit_code, done.stdout, pauses) == (4, "", [])
    [line] = done.stderr.splitlines()
    assert line.startswith(f"renderhook: no receiver answers at {url} (")


def test_an_empty_url_is_an_unset_one(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "DEFAULT_URL", server.url)
    for words in (["--url", "", "status", "job_1"], ["--url", " ", "status", "job_1"], ["status", "job_1"]):
        assert CliRunner().invoke(main, words, env={"RENDERHOOK_URL": "", "API_KEY": None}).exit_code == 0
    assert len(server.requests) == 3


def test_a_job_id_is_quoted_in_the_path(server: ScriptedServer, program: Program) -> None:
    program("status", "../endpoints?x=1#y")
    assert server.requests[0].path == "/v1/jobs/..%2Fendpoints%3Fx%3D1%23y"


def test_a_job_is_shown_with_characters_unescaped(server: ScriptedServer, program: Program) -> None:
    server.replies = [reply(200, JOB | {"metadata": {"who": "Zoë"}})]
    done = program("status", "job_1")
    assert json.loads(done.stdout) == JOB | {"metadata": {"who": "Zoë"}}
    assert "Zoë" in done.stdout


def test_jobs_are_read_page_by_page_up_to_the_limit(server: ScriptedServer, program: Program) -> None:
    full = [{"id": f"job_{number}"} for number in range(200)]
    server.replies = [
        reply(200, {"jobs": full, "next_cursor": "job_199"}),
        reply(200, {"jobs": full[:50], "next_cursor": "job_49"}),
    ]
    done = program("jobs", "--limit", "250", "--state", "failed", "--provider", "fal", "--json")
    assert json.loads(done.stdout) == full + full[:50]
    assert [request.path for request in server.requests] == [
        "/v1/jobs?state=failed&provider=fal&limit=200",
        "/v1/jobs?state=failed&provider=fal&cursor=job_199&limit=50",
    ]


def test_the_last_page_ends_the_list(server: ScriptedServer, program: Program) -> None:
    server.replies = [reply(200, LAST_PAGE)]
    done = program("jobs", "--limit", "1000")
    assert (done.exit_code, done.stdout) == (0, "id  provider  state  created_at  model\n")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "words", [("wait", "job_1", "--json"), ("fal", "a/b", "--json", "--wait"), ("fal", "a/b", "--json")]
)
def test_json_is_one_value_on_standard_output(words: tuple[str, ...], server: ScriptedServer, program: Program) -> None:
    server.replies = [reply(200, JOB | {"outputs": [{"url": "https://example.com/1.mp4"}]})]
    assert json.loads(program(*words).stdout) == JOB | {"outputs": [{"url": "https://example.com/1.mp4"}]}
