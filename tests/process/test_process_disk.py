"""A disk that fills up under a running receiver: it responds 503, loses nothing acknowledged, and recovers."""

import re

import pytest

from tests.process.children import until
from tests.process.deployment import Deployment
from tests.process.disks import LIMITED, MOUNTED, needs_mounts
from tests.process.job_requests import JobRequest
from tests.process.test_process_killed import check_deliveries_once, check_integrity
from tests.process.test_process_standard_error import full

DISKS = pytest.mark.parametrize(
    "kind", [pytest.param(MOUNTED, marks=needs_mounts, id="tmpfs"), pytest.param(LIMITED, id="rlimit")]
)


@DISKS
def test_requests_get_503_while_the_disk_is_full(kind: type[MOUNTED] | type[LIMITED], deployment: Deployment) -> None:
    disk = kind(deployment)
    job_request, refused = JobRequest(faults="late=0.7"), JobRequest()
    job_id = deployment.submit(job_request)
    delivered = "SELECT id FROM deliveries WHERE state = 'delivered'"
    until("job.submitted is delivered", lambda: deployment.rows(delivered))
    disk.fill()
    statuses = until(
        "a callback was tried twice",
        lambda: [each["status"] for each in deployment.services.submissions(job_request)[0]["callbacks"]][1:],
    )
    assert set(statuses) == {503}
    assert deployment.call("GET", "/readyz").status_code == 503
    assert deployment.call("GET", "/healthz").status_code == 200
    assert deployment.call("POST", "/v1/jobs", json=refused.body).status_code == 503
    assert deployment.job(str(job_id))["state"] == "submitted"
    disk.make_room()
    deployment.wait_settled()
    assert deployment.call("GET", "/readyz").status_code == 200
    job = deployment.job(str(job_id))
    assert (job["state"], job["source"]) == ("completed", "callback")
    assert deployment.rows("SELECT result FROM receipts") == [{"result": "recorded"}]
    assert len(deployment.services.submissions(job_request)) == 1
    assert deployment.services.submissions(refused) == []
    check_deliveries_once(deployment, str(job_id))
    check_integrity(deployment)


@DISKS
def test_a_response_read_while_disk_and_log_are_full_is_recorded_when_there_is_room(
    kind: type[MOUNTED] | type[LIMITED], deployment: Deployment
) -> None:
    deployment.settings["FAL_RECONCILE_SECONDS"] = "0.5"
    with full() as options:
        disk = kind(deployment, **options)
        requests = [JobRequest(faults="slow=0.6,lost"), JobRequest(provider="heygen", faults="slow=0.6")]
        ids = [str(deployment.submit(each)) for each in requests]
        until("both are on the wire", lambda: all(deployment.services.submissions(each) for each in requests))
        disk.fill()
        until(
            "recording has failed three times for each",
            lambda: min(failures(deployment, provider) for provider in ("fal", "heygen")) >= 3,
        )
        assert deployment.call("POST", "/v1/jobs", json=JobRequest().body).status_code == 503
        assert deployment.call("GET", "/readyz").status_code == 503
        disk.make_room()
        deployment.wait_settled()
        assert [deployment.job(each)["state"] for each in ids] == ["completed", "completed"]
        assert [len(deployment.services.submissions(each)) for each in requests] == [1, 1]
        assert deployment.call("GET", "/readyz").status_code == 200
        after = str(deployment.submit(JobRequest()))
        deployment.wait_settled()
        assert deployment.job(after)["state"] == "completed"
        assert deployment.stop() == 0


def failures(deployment: Deployment, provider: str) -> float:
    """Return how often recording a response of a provider has failed."""
    name = re.escape(f'renderhook_job_record_failed_total{{provider="{provider}"}}')
    found = re.search(f"^{name} (\\S+)$", deployment.call("GET", "/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0
