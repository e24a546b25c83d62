"""Official HTTP clients of other languages, with their default settings."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.process.deployment import Deployment
from tests.process.job_requests import JobRequest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


def output_of(command: list[str], **variables: str) -> list[str]:
    if shutil.which(command[0]) is None:
        # The JDK's upgrade is replayed on every machine, by tests/receiver/test_receiver_protocol.py.
        pytest.skip(f"{command[0]} is not on this machine (Debian: apt-get install default-jdk-headless curl)")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_http_client_of_the_jdk_submits_jobs(deployment: Deployment) -> None:
    deployment.start()
    source, request = Path(__file__).with_name("Submit.java"), JobRequest()
    words = [deployment.url, deployment.api_key, request.mark, "3", json.dumps(request.body)]
    lines = output_of(["java", str(source), *words])
    assert [line.partition(" ")[0] for line in lines] == ["202"] * 3
    assert len({json.loads(line.partition(" ")[2])["id"] for line in lines}) == 3
    assert deployment.stop() == 0


@pytest.mark.parametrize("options", [[], ["--http2"], ["--http1.0"], ["-H", "Transfer-Encoding: chunked"]])
def test_curl_sends_large_bodies_and_reads_early_responses(
    deployment: Deployment, tmp_path: Path, options: list[str]
) -> None:
    """curl expects `100 Continue` for more than 1 MB, and asks for an upgrade with --http2."""
    deployment.start()
    body = tmp_path / "body"
    url, wrong = f"{deployment.url}/v1/jobs", "Authorization: Bearer wrong"
    for size, authorization, status in ((8_000_000, wrong, "401"), (8_000_000, "", "413"), (2_000_000, "", "400")):
        body.write_bytes(b"x" * size)
        header = authorization or f"Authorization: Bearer {deployment.api_key}"
        command = [
            "curl",
            "-s",
            "-o",
            os.devnull,
            "-w",
            "%{http_code}",
            "-H",
            header,
            "-H",
            "Content-Type: application/json",
        ]
        assert output_of([*command, *options, "--data-binary", f"@{body}", url]) == [status]
    assert deployment.stop() == 0
