"""A disk that fills up under a running receiver: it says 503, loses nothing it acknowledged, and goes on with room."""

import pytest

from tests.process.children import until
from tests.process.disks import LIMITED, MOUNTED, needs_mounts
from tests.process.errands import Errand
from tests.process.house import House
from tests.process.test_process_killed import each_told_once, sound


@pytest.mark.parametrize(
    "kind", [pytest.param(MOUNTED, marks=needs_mounts, id="tmpfs"), pytest.param(LIMITED, id="rlimit")]
)
def test_a_disk_that_fills_up_is_503_until_there_is_room(kind: type[MOUNTED] | type[LIMITED], house: House) -> None:
    disk = kind(house)
    errand, unheard = Errand(faults="late=0.7"), Errand()
    job_id = house.ask(errand)
    told = "SELECT id FROM deliveries WHERE state = 'delivered'"
    until("job.submitted is delivered", lambda: house.rows(told))
    disk.fill()
    statuses = until(
        "a callback was tried twice",
        lambda: [each["status"] for each in house.neighbours.submissions(errand)[0]["callbacks"]][1:],
    )
    assert set(statuses) == {503}
    assert house.call("GET", "/readyz").status_code == 503
    assert house.call("GET", "/healthz").status_code == 200
    assert house.call("POST", "/v1/jobs", json=unheard.body).status_code == 503
    assert house.job(str(job_id))["state"] == "submitted"
    disk.make_room()
    house.wait_settled()
    assert house.call("GET", "/readyz").status_code == 200
    job = house.job(str(job_id))
    assert (job["state"], job["source"]) == ("completed", "callback")
    assert house.rows("SELECT result FROM receipts") == [{"result": "recorded"}]
    assert len(house.neighbours.submissions(errand)) == 1
    assert house.neighbours.submissions(unheard) == []
    each_told_once(house, str(job_id))
    sound(house)
