"""The commands for jobs as a user runs them: real processes, a real receiver, and a sandbox behind it."""

import json
import sys

import pytest

from sandbox.demo.processes import free_port
from tests.renderhook.processes import CLEAN, RunningReceiver, run

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


def test_a_wait_that_times_out_exits_2(receiver: RunningReceiver) -> None:
    job_id = receiver.run("fal", VIDEO_SWAP, FACE, f"{VIDEO}#fault=long=60").out.strip()
    waited = receiver.run("wait", job_id, "--timeout", "0")
    assert (waited.code, waited.out) == (2, "")
    assert waited.err.splitlines()[-1].startswith(f"renderhook: {job_id} is still ")


def test_jobs_are_listed_newest_first(receiver: RunningReceiver) -> None:
    older, newer = (receiver.run("heygen", "FaceswapNode", *SWAP).out.strip() for _ in range(2))
    header, *rows = receiver.run("jobs", "--provider", "heygen", "--limit", "2").out.splitlines()
    assert header.split() == ["id", "provider", "state", "created_at", "model"]
    assert [row.split()[:2] for row in rows] == [[newer, "heygen"], [older, "heygen"]]
    listed = json.loads(receiver.run("jobs", "--json", "--limit", "2").out)
    assert [job["id"] for job in listed] == [newer, older]


def test_a_filter_that_the_receiver_refuses_exits_2(receiver: RunningReceiver) -> None:
    done = receiver.run("jobs", "--state", "nonsense")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("renderhook: 400: state must be one of")


def test_no_receiver_is_one_clear_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run(sys.executable, "-m", "submitter", "status", "job_1", **CLEAN, RENDERHOOK_URL=url)
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith(f"renderhook: no receiver answers at {url} (")
    assert "RENDERHOOK_URL" in line


@pytest.mark.parametrize("key", ["", "a-wrong-key-altogether", "schlüssel"])
def test_a_wrong_api_key_is_one_clear_error_that_does_not_print_it(key: str, receiver: RunningReceiver) -> None:
    done = receiver.run("status", "job_1", API_KEY=key)
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("renderhook: ")
    assert ("API_KEY: must be" if key == "schlüssel" else "401") in line
    assert "a-wrong-key-altogether" not in line


def test_the_first_of_several_api_keys_is_sent(receiver: RunningReceiver) -> None:
    done = receiver.run("status", "job_1", API_KEY="an-api-key-of-the-tests, another-key-altogether")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("renderhook: 404: ")


def test_a_refused_input_is_one_clear_error_and_nothing_is_billed(receiver: RunningReceiver) -> None:
    before = len(receiver.billed())
    done = receiver.run("fal", VIDEO_SWAP, FACE, "target_vidoe_url=https://example.com/a.mp4")
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith("renderhook: 422: input")
    assert "target_vid" in line
    assert len(receiver.billed()) == before


def test_two_commands_with_one_idempotency_key_create_one_job(receiver: RunningReceiver) -> None:
    words = ("fal", VIDEO_SWAP, FACE, VIDEO, "--idempotency-key", "order-7")
    assert receiver.run(*words).out == receiver.run(*words).out
    other = receiver.run(*words, "enable_occlusion_prevention=true")
    assert (other.code, "Idempotency-Key" in other.err) == (2, True)


def test_two_commands_without_an_idempotency_key_create_two_jobs(receiver: RunningReceiver) -> None:
    words = ("fal", VIDEO_SWAP, FACE, VIDEO)
    assert receiver.run(*words).out != receiver.run(*words).out


def test_a_model_that_resembles_a_known_one_is_submitted_only_with_allow_unknown_model(receiver: RunningReceiver) -> None:
    words = ("heygen", "faceswapnode", *SWAP)
    refused = receiver.run(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "did you mean FaceswapNode?" in refused.err
    assert receiver.run(*words, "--allow-unknown-model").code == 0
