"""The commands for jobs as a user runs them: real processes, a real receiver, and a sandbox behind it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.demo.processes import free_port
from tests.renderhook.processes import API_KEY, CLEAN, ROOT, RunningReceiver, run

VIDEO_SWAP = "half-moon-ai/ai-face-swap/faceswapvideo"
FACE = "source_face_url=https://example.com/face.jpg"
VIDEO = "target_video_url=https://example.com/a.mp4"
SWAP = ("source_image_url=https://example.com/face.jpg", "target_video_url=https://example.com/a.mp4")


def test_a_fal_job_is_submitted_waited_for_and_shown(receiver: RunningReceiver) -> None:
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


def test_a_heygen_job_is_submitted_and_waited_for_by_one_command(receiver: RunningReceiver) -> None:
    done = receiver.run("heygen", "FaceswapNode", *SWAP, "--wait")
    assert done.code == 0
    job_id, url = done.out.split()
    assert job_id.startswith("job_")
    assert url.startswith(f"{receiver.sandbox}/files/")


def test_a_failed_job_exits_1_and_prints_its_error(receiver: RunningReceiver) -> None:
    done = receiver.run("fal", VIDEO_SWAP, FACE, f"{VIDEO}#fault=failed", "--wait")
    assert done.code == 1
    assert done.out.split()[1:] == []
    assert done.err.splitlines()[-1].partition(":")[0] in {"input", "provider"}
    assert receiver.run("wait", done.out.strip()).code == 1


def test_a_wait_that_times_out_exits_5(receiver: RunningReceiver) -> None:
    job_id = receiver.run("fal", VIDEO_SWAP, FACE, f"{VIDEO}#fault=long=60").out.strip()
    waited = receiver.run("wait", job_id, "--timeout", "0")
    assert (waited.code, waited.out) == (5, "")
    assert waited.err.splitlines()[-1].startswith(f"renderhook: {job_id} is still ")


def test_jobs_are_listed_newest_first(receiver: RunningReceiver) -> None:
    older, newer = (receiver.run("heygen", "FaceswapNode", *SWAP).out.strip() for _ in range(2))
    header, *rows = receiver.run("jobs", "--provider", "heygen", "--limit", "2").out.splitlines()
    assert header.split() == ["id", "provider", "state", "created_at", "model"]
    assert [row.split()[:2] for row in rows] == [[newer, "heygen"], [older, "heygen"]]
    listed = json.loads(receiver.run("jobs", "--json", "--limit", "2").out)
    assert [job["id"] for job in listed] == [newer, older]


def test_a_filter_that_the_receiver_refuses_exits_3(receiver: RunningReceiver) -> None:
    done = receiver.run("jobs", "--state", "nonsense")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("renderhook: 400: state must be one of")


def test_no_receiver_is_one_clear_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run(sys.executable, "-m", "submitter", "status", "job_1", **CLEAN, RENDERHOOK_URL=url)
    assert (done.code, done.out) == (4, "")
    [line] = done.err.splitlines()
    assert line.startswith(f"renderhook: no receiver answers at {url} (")
    assert "RENDERHOOK_URL" in line


@pytest.mark.parametrize("key", ["", "a-wrong-key-altogether", "schlüssel"])
def test_a_wrong_api_key_is_one_clear_error_that_does_not_print_it(key: str, receiver: RunningReceiver) -> None:
    done = receiver.run("status", "job_1", API_KEY=key)
    assert (done.code, done.out) == (2 if key == "schlüssel" else 3, "")
    [line] = done.err.splitlines()
    assert line.startswith("renderhook: ")
    assert ("API_KEY: must be" if key == "schlüssel" else "401") in line
    assert "a-wrong-key-altogether" not in line


def test_the_first_of_several_api_keys_is_sent(receiver: RunningReceiver) -> None:
    done = receiver.run("status", "job_1", API_KEY="an-api-key-of-the-tests, another-key-altogether")
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert done.err.startswith("renderhook: 404: ")


def test_a_refused_input_is_one_clear_error_and_nothing_is_billed(receiver: RunningReceiver) -> None:
    before = len(receiver.billed())
    done = receiver.run("fal", VIDEO_SWAP, FACE, "target_vidoe_url=https://example.com/a.mp4")
    assert (done.code, done.out) == (3, "")
    [line] = done.err.splitlines()
    assert line.startswith("renderhook: 422: input")
    assert "target_vid" in line
    assert len(receiver.billed()) == before


def test_two_commands_with_one_idempotency_key_create_one_job(receiver: RunningReceiver) -> None:
    words = ("fal", VIDEO_SWAP, FACE, VIDEO, "--idempotency-key", "order-7")
    assert receiver.run(*words).out == receiver.run(*words).out
    other = receiver.run(*words, "enable_occlusion_prevention=true")
    assert (other.code, "Idempotency-Key" in other.err) == (3, True)


def test_two_commands_without_an_idempotency_key_create_two_jobs(receiver: RunningReceiver) -> None:
    words = ("fal", VIDEO_SWAP, FACE, VIDEO)
    assert receiver.run(*words).out != receiver.run(*words).out


def started(receiver: RunningReceiver, *words: str) -> subprocess.Popen[str]:
    """Start `renderhook` in a process group of its own, as a shell does, and do not wait."""
    environment = CLEAN | {"RENDERHOOK_URL": receiver.url, "API_KEY": API_KEY}
    return subprocess.Popen(
        [sys.executable, "-m", "renderhook", *words],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_ends_the_command_and_not_the_job(receiver: RunningReceiver) -> None:
    waiting = started(receiver, "fal", VIDEO_SWAP, FACE, f"{VIDEO}#fault=long=60", "--wait")
    assert waiting.stdout
    assert waiting.stderr
    job_id = waiting.stdout.readline().strip()
    assert waiting.stderr.readline().startswith(job_id)  # it waits
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert err.splitlines()[-1] == f"renderhook: the job goes on: renderhook wait {job_id}"
    assert "Traceback" not in err
    assert json.loads(receiver.run("status", job_id).out)["state"] in {"accepted", "submitting", "submitted"}


def test_a_reader_that_goes_away_is_no_traceback(receiver: RunningReceiver) -> None:
    for _ in range(3):
        receiver.run("heygen", "FaceswapNode", *SWAP)
    listing = started(receiver, "jobs", "--json")
    assert listing.stdout
    assert listing.stderr
    listing.stdout.close()
    assert (listing.wait(10), listing.stderr.read()) == (141, "")
    listing.stderr.close()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_terminal_that_shows_few_characters_gets_the_same_json(encoding: str, receiver: RunningReceiver) -> None:
    words = "Zoë 顔 \U0001f600"
    job_id = receiver.run("heygen", "FaceswapNode", *SWAP, "--metadata", f"who={words}", PYTHONUTF8="1").out.strip()
    shown = receiver.run("status", job_id, PYTHONIOENCODING=encoding)
    assert (shown.code, shown.err) == (0, "")
    assert json.loads(shown.out)["metadata"] == {"who": words}


def test_the_api_key_may_be_in_a_file(receiver: RunningReceiver, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{API_KEY},another-key-altogether\n")
    assert receiver.run("jobs", API_KEY="", API_KEY_FILE=str(tmp_path / "key")).code == 0
    wrong = receiver.run("jobs", API_KEY="", API_KEY_FILE=str(tmp_path))
    assert (wrong.code, wrong.err) == (2, f"renderhook: API_KEY_FILE: cannot read {tmp_path}: Is a directory\n")
