"""The command line as a user runs it: real processes, a real receiver, a sandbox behind it."""

import json
import sys
from pathlib import Path

import pytest

from tests.submitter.lines import refused_port
from tests.submitter.standing import CLEAN, Standing, run

VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
FACE = "source_face_url=https://example.com/face.jpg"
VIDEO = "target_video_url=https://example.com/a.mp4"
SWAP = ("source_image_url=https://example.com/face.jpg", "target_video_url=https://example.com/a.mp4")


def test_a_fal_job_is_submitted_looked_at_and_waited_for(receiver: Standing) -> None:
    submitted = receiver.run("fal", VIDEO_SWAP, FACE, VIDEO, "--metadata", "order=7", "--metadata", "who=Ada")
    assert (submitted.code, submitted.err) == (0, "")
    job_id = submitted.out.strip()
    waited = receiver.run("wait", job_id)
    assert waited.code == 0
    [url] = waited.out.split()
    assert url.startswith(f"{receiver.sandbox}/files/")
    assert waited.err.splitlines()[-1] == f"{job_id} completed"
    shown = json.loads(receiver.run("status", job_id).out)
    assert (shown["state"], shown["source"], shown["metadata"]) == ("completed", "poll", {"order": 7, "who": "Ada"})


def test_a_heygen_job_is_waited_for_in_one_go(receiver: Standing) -> None:
    done = receiver.run("heygen", "FaceswapNode", *SWAP, "--wait")
    assert done.code == 0
    job_id, url = done.out.split()
    assert job_id.startswith("job_")
    assert url.startswith(f"{receiver.sandbox}/files/")


def test_a_job_that_fails_says_whose_fault_it_was_and_exits_1(receiver: Standing) -> None:
    done = receiver.run("fal", VIDEO_SWAP, FACE, f"{VIDEO}#fault=failed", "--wait")
    assert done.code == 1
    assert done.out.split()[1:] == []
    assert done.err.splitlines()[-1].partition(":")[0] in {"input", "provider"}
    assert receiver.run("wait", done.out.strip()).code == 1


def test_a_wait_that_is_over_before_the_job_exits_2(receiver: Standing) -> None:
    job_id = receiver.run("fal", VIDEO_SWAP, FACE, f"{VIDEO}#fault=long=60").out.strip()
    waited = receiver.run("wait", job_id, "--timeout", "0")
    assert (waited.code, waited.out) == (2, "")
    assert waited.err.splitlines()[-1].startswith(f"submitter: {job_id} is still ")


def test_no_receiver_is_one_clear_line() -> None:
    with refused_port() as url:
        done = run(sys.executable, "-m", "submitter", "status", "job_1", **CLEAN, RENDERHOOK_URL=url)
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith(f"submitter: no receiver answers at {url} (")
    assert "RENDERHOOK_URL" in line


@pytest.mark.parametrize("key", ["", "a-wrong-key-altogether", "schlüssel"])
def test_a_wrong_key_is_one_clear_line(key: str, receiver: Standing) -> None:
    done = receiver.run("status", "job_1", API_KEY=key)
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("submitter: ")
    assert ("cannot be sent" if key == "schlüssel" else "401") in line
    assert "a-wrong-key-altogether" not in line


def test_the_first_of_several_keys_is_used(receiver: Standing) -> None:
    done = receiver.run("status", "job_1", API_KEY="an-api-key-of-the-tests, another-key-altogether")
    assert (done.code, done.err) == (2, "submitter: 404: there is no job 'job_1'\n")


def test_a_refused_input_is_shown_with_its_reason_and_costs_nothing(receiver: Standing) -> None:
    before = len(receiver.billed())
    done = receiver.run("fal", VIDEO_SWAP, FACE, "target_vidoe_url=https://example.com/a.mp4")
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("submitter: 422: input")
    assert "target_vid" in line
    assert len(receiver.billed()) == before


def test_an_idempotency_key_makes_one_job_of_two_commands(receiver: Standing) -> None:
    words = ("fal", VIDEO_SWAP, FACE, VIDEO, "--idempotency-key", "order-7")
    assert receiver.run(*words).out == receiver.run(*words).out
    other = receiver.run(*words, "enable_occlusion_prevention=true")
    assert (other.code, "Idempotency-Key" in other.err) == (2, True)


def test_two_commands_make_two_jobs(receiver: Standing) -> None:
    words = ("fal", VIDEO_SWAP, FACE, VIDEO)
    assert receiver.run(*words).out != receiver.run(*words).out


IMPORTS = (
    "import runpy, sys\ntry:\n    runpy.run_module('submitter', run_name='__main__')\nfinally:\n    print(*sys.modules)"
)


def imported(*words: str, **settings: str) -> set[str]:
    done = run(sys.executable, "-c", IMPORTS, *words, **CLEAN, **settings)
    return set(done.out.splitlines()[-1].split())


def test_the_command_line_never_opens_the_database(receiver: Standing, tmp_path: Path) -> None:
    database = tmp_path / "never.db"
    settings = {"RENDERHOOK_URL": receiver.url, "API_KEY": "an-api-key-of-the-tests"}
    modules = imported("fal", VIDEO_SWAP, FACE, VIDEO, "--wait", **settings, DATABASE_URL=f"sqlite:///{database}")
    assert "httpx" in modules
    assert not modules & {"sqlite3", "_sqlite3", "aiosqlite", "starlette", "ledger", "providers", "receiver"}
    assert not database.exists()


def test_help_waits_for_neither_http_nor_the_web_stack() -> None:
    assert not imported("fal", "--help") & {"httpx", "aiohttp", "starlette", "uvicorn", "sqlite3", "ledger"}


WORDS = "from renderhook.cli import main; main()"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--help",), 0, "Submit jobs to a running receiver"),
        (("fal", "--help"), 0, "Submit a fal MODEL"),
        (("sandbox", "--help"), 0, "Pretend to be fal"),
        (("serve", "--help"), 0, "Serve until SIGTERM"),
        (("migrate", "--help"), 0, "Bring the ledger's schema up to date"),
        (("nonsense",), 2, "No such command 'nonsense'"),
        ((), 1, "renderhook: PORT:"),
    ],
)
def test_renderhook_knows_whose_word_it_is(words: tuple[str, ...], code: int, said: str) -> None:
    done = run(sys.executable, "-c", WORDS, *words, **CLEAN, PORT="not a port")
    assert done.code == code
    assert said in done.out + done.err
