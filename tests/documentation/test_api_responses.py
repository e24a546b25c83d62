"""The JSON bodies of the API reference have the fields and types of what a receiver really answers."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.documentation.pages import QUICKSTART, blocks, page
from tests.documentation.session import RECEIVER, Session, reader
from tests.process.children import until

MODEL = "half-moon-ai/ai-face-swap/faceswapvideo"
FACE, VIDEO = "https://example.com/face.jpg", "https://example.com/a.mp4"


def documented(heading: str) -> list[Any]:
    """Return the JSON bodies under a heading of the reference, in order."""
    section = re.split(r"^##+ ", page("docs/reference/api.md"), flags=re.MULTILINE)
    (text,) = (each for each in section if each.startswith(f"{heading}\n"))
    found = re.findall(r"^```(?:json|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [json.loads(block[block.index("{") :]) for block in found if re.search(r"^\{$", block, re.MULTILINE)]


def differences(shown: Any, real: Any, at: str = "body") -> list[str]:
    """List where two bodies differ in fields or types. Null and empty lists agree with anything; `input` is free."""
    if shown is None or real is None or at.endswith((".input", ".metadata", ".headers")):
        return []
    if type(shown) is not type(real):
        return [f"{at}: {type(shown).__name__}, not {type(real).__name__}"]
    if isinstance(shown, dict):
        if list(shown) != list(real):
            return [f"{at}: {list(shown)}, not {list(real)}"]
        return [line for key in shown for line in differences(shown[key], real[key], f"{at}.{key}")]
    if isinstance(shown, list) and shown and real:
        return differences(shown[0], real[0], f"{at}[0]")
    return []


class Api:
    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str) -> Any:
        return httpx.get(self._url + path, trust_env=False).json()

    def submit(self, target: str = VIDEO, **fields: Any) -> httpx.Response:
        job = {"provider": "fal", "model": MODEL, "input": {"source_face_url": FACE, "target_video_url": target}}
        return httpx.post(f"{self._url}/v1/jobs", json=job | fields, trust_env=False)

    def finished(self, target: str = VIDEO) -> Any:
        job_id = self.submit(target).json()["id"]
        return until("the job has ended", lambda: (job := self.get(f"/v1/jobs/{job_id}"))["finalized_at"] and job)

    def post(self, path: str, **content: Any) -> httpx.Response:
        return httpx.post(self._url + path, trust_env=False, **content)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with reader(tmp_path_factory.mktemp("reader")) as opened:
        for block in blocks(QUICKSTART):
            if block.label.startswith("terminal="):
                opened.run(block)
        yield opened


@pytest.fixture(scope="module")
def api(session: Session) -> Api:
    return Api(session.url(RECEIVER))


@pytest.fixture(scope="module")
def job(api: Api) -> Any:
    return api.finished()


def test_a_created_job_is_answered_as_documented(api: Api) -> None:
    response = api.submit()
    assert response.status_code == 202
    assert differences(documented("Create a job")[0], response.json()) == []


def test_a_job_is_as_documented(job: Any) -> None:
    assert differences(documented("Read a job")[0], job) == []


def test_a_list_with_a_failed_job_is_as_documented(api: Api) -> None:
    api.finished(f"{VIDEO}#fault=failed")
    assert differences(documented("List jobs")[0], api.get("/v1/jobs?state=failed&limit=1")) == []


def test_events_and_receipts_are_as_documented(api: Api, job: Any) -> None:
    assert differences(documented("Events of a job")[0], api.get(f"/v1/jobs/{job['id']}/events")) == []
    assert differences(documented("Receipts of a job")[0], api.get(f"/v1/jobs/{job['id']}/receipts")) == []


def test_deliveries_and_replays_are_as_documented(api: Api, session: Session, job: Any) -> None:
    path = f"/v1/deliveries?job={job['id']}"
    until("the job is delivered", lambda: f"job.completed {job['id']}" in session.log("consumer"))
    delivered = until("the delivery is recorded", lambda: _all_delivered(api.get(path)))
    assert differences(documented("List deliveries")[0], delivered) == []
    delivery_id = delivered["deliveries"][0]["id"]
    assert differences(documented("Read a delivery")[0], api.get(f"/v1/deliveries/{delivery_id}")) == []
    replayed = api.post(f"/v1/deliveries/{delivery_id}/replay")
    assert (replayed.status_code, differences(documented("Replay a delivery")[0], replayed.json())) == (202, [])
    until("it is delivered again", lambda: _all_delivered(api.get(path)))
    replayed = api.post("/v1/deliveries/replay", json={"job": job["id"]})
    assert replayed.status_code == 202
    assert differences(documented("Replay many deliveries")[0], replayed.json()) == []


def _all_delivered(page: Any) -> Any:
    return page if all(each["state"] == "delivered" for each in page["deliveries"]) else None


def test_a_notification_is_as_documented(session: Session, job: Any) -> None:
    (stored,) = until("it is stored", lambda: list(session.inbox.glob(f"*{job['id'].removeprefix('job_')}_3_*.json")))
    assert differences(documented("Notifications")[0], json.loads(stored.read_text("utf-8"))) == []


def test_counters_of_a_provider_are_in_the_metrics_before_their_first_event(session: Session) -> None:
    text = httpx.get(f"{session.url(RECEIVER)}/metrics", trust_env=False).text
    assert 'renderhook_keys_fetch_failed_total{provider="fal"} 0.0' in text
    assert 'renderhook_keys_fetch_failed_total{provider="heygen"} 0.0' in text


def test_problems_are_as_documented(api: Api) -> None:
    assert api.submit(notify=["http://10.0.0.1/"]).json() == documented("Problems")[0]
    assert api.get("/v1/jobs?page=2") == documented("Pages")[0]
    assert api.post("/callbacks/fal/nonsense").json() == documented("Callbacks")[0]
    assert [api.get(path) for path in ("/healthz", "/readyz")] == documented("Health and metrics")


def test_differences_between_bodies_are_found() -> None:
    assert differences({"a": 1, "b": [{"c": None}]}, {"a": 2, "b": [{"c": "x"}]}) == []
    assert differences({"a": 1}, {"a": "1"}) == ["body.a: int, not str"]
    assert differences({"a": [{"b": 1}]}, {"a": [{"c": 1}]}) == ["body.a[0]: ['b'], not ['c']"]
