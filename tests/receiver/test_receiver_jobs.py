"""Jobs in the HTTP API: durable before 202, idempotent under a key, and listed page by page."""

import asyncio

import pytest

from ledger.records import Fault, JobError, Outcome
from tests.database import ON_BOTH_DATABASES
from tests.receiver.harness import Receiver, callback_body
from tests.receiver.test_receiver_app import is_problem

pytestmark = ON_BOTH_DATABASES

SWAP = {
    "provider": "fal",
    "model": "half-moon-ai/ai-face-swap/faceswapvideo",
    "input": {"source_face_url": "https://u.example/face.png", "target_video_url": "https://u.example/v.mp4"},
    "metadata": {"user": "u-7", "n": 123456789012345678901234567890},
    "notify": ["https://u.example/hooks"],
}
ANY = {"provider": "fal", "model": "a/b", "input": {}}


async def create(receiver: Receiver, body: object = None, key: str | None = None) -> str:
    headers = {} if key is None else {"idempotency-key": key}
    response = await receiver.http.post("/v1/jobs", json=ANY if body is None else body, headers=headers)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


async def test_a_new_job_gets_202_with_its_location_and_exactly_these_fields(receiver: Receiver) -> None:
    response = await receiver.http.post("/v1/jobs", json=SWAP)
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job == {
        "id": job["id"],
        "provider": "fal",
        "model": SWAP["model"],
        "state": "accepted",
        "input": SWAP["input"],
        "metadata": SWAP["metadata"],
        "provider_request_id": None,
        "created_at": "2026-01-01T00:00:00.000Z",
        "submitted_at": None,
        "finalized_at": None,
        "source": None,
        "outputs": [],
        "processing_time_ms": None,
        "warning": None,
        "error": None,
    }
    assert (await receiver.http.get(response.headers["location"])).json() == job
    [accepted] = receiver.emitted.named("job.accepted")
    assert (accepted["job"], accepted["provider"]) == (job["id"], "fal")
    assert receiver.counted("job.accepted", provider="fal") == 1


async def test_a_job_is_committed_with_its_task_before_the_response(receiver: Receiver) -> None:
    job_id = await create(receiver, SWAP)
    query = receiver.database.query  # on a connection of its own
    assert query("SELECT state FROM jobs WHERE id = ?", job_id) == [{"state": "accepted"}]
    assert query("SELECT kind, subject FROM work") == [{"kind": "submit", "subject": job_id}]
    assert query("SELECT url FROM endpoints") == [{"url": "https://u.example/hooks"}]


async def test_a_completed_job_shows_its_outputs_and_source(receiver: Receiver) -> None:
    job_id = await create(receiver)
    await receiver.scenario.begin(job_id)
    await receiver.scenario.confirm(job_id, at=2)
    receiver.clock.pass_seconds(60.5)
    await receiver.call_back(job_id, callback_body())
    job = (await receiver.http.get(f"/v1/jobs/{job_id}")).json()
    assert (job["state"], job["source"], job["provider_request_id"]) == ("completed", "callback", "req-1")
    assert (job["submitted_at"], job["finalized_at"]) == ("2026-01-01T00:00:02.000Z", "2026-01-01T00:01:00.500Z")
    assert job["outputs"] == [
        {
            "id": f"{job_id}.1",
            "url": "https://v3b.fal.media/files/a/b.mp4",
            "content_type": "video/mp4",
            "file_name": None,
            "file_size": 7,
            "width": None,
            "height": None,
        }
    ]


async def test_a_failed_job_shows_its_error(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    error = JobError(fault=Fault.INPUT, code="no_face", message="no face")
    await receiver.scenario.report(job_id, Outcome.failed(error))
    job = (await receiver.http.get(f"/v1/jobs/{job_id}")).json()
    assert job["error"] == {"fault": "input", "code": "no_face", "message": "no face", "retryable": False}


async def test_the_same_key_and_request_return_the_same_job(receiver: Receiver) -> None:
    first = await create(receiver, SWAP, "key-1")
    again = await receiver.http.post("/v1/jobs", json=SWAP, headers={"idempotency-key": "key-1"})
    assert (again.status_code, again.json()["id"]) == (202, first)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == f"/v1/jobs/{first}"
    assert len((await receiver.dump())["jobs"]) == 1
    assert len(receiver.emitted.named("job.accepted")) == 1


async def test_a_first_request_is_not_marked_as_replayed(receiver: Receiver) -> None:
    response = await receiver.http.post("/v1/jobs", json=ANY, headers={"idempotency-key": "key-1"})
    assert "idempotent-replayed" not in response.headers


@pytest.mark.parametrize(
    "change",
    [{"model": "a/c"}, {"input": {"x": 1}}, {"metadata": {"x": 1}}, {"notify": ["https://u.example/h"]}],
    ids=["model", "input", "metadata", "notify"],
)
async def test_a_key_used_for_another_request_is_refused(receiver: Receiver, change: dict[str, object]) -> None:
    await create(receiver, ANY, "key-1")
    before = await receiver.dump()
    response = await receiver.http.post("/v1/jobs", json=ANY | change, headers={"idempotency-key": "key-1"})
    assert is_problem(response, 422)
    assert "Idempotency-Key" in response.json()["detail"]
    assert await receiver.dump() == before


async def test_without_a_key_the_same_request_makes_another_job(receiver: Receiver) -> None:
    assert await create(receiver, SWAP) != await create(receiver, SWAP)


async def test_fifty_concurrent_requests_under_one_key_make_one_job(receiver: Receiver) -> None:
    made = await asyncio.gather(*(create(receiver, ANY, "key-1") for _ in range(50)))
    assert len(set(made)) == 1
    assert len((await receiver.dump())["jobs"]) == 1
    assert len(receiver.emitted.named("job.accepted")) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"], ids=["empty", "too long", "a tab"])
async def test_an_invalid_key_is_refused(receiver: Receiver, key: str) -> None:
    response = await receiver.http.post("/v1/jobs", json=ANY, headers={"idempotency-key": key})
    assert is_problem(response, 400)
    assert (await receiver.dump())["jobs"] == []


async def test_the_longest_key_is_accepted(receiver: Receiver) -> None:
    assert await create(receiver, ANY, "x" * 255) == await create(receiver, ANY, "x" * 255)


async def test_jobs_are_listed_newest_first_page_by_page(receiver: Receiver) -> None:
    made = [await create(receiver) for _ in range(5)]
    seen, path = [], "/v1/jobs?limit=2"
    for size in (2, 2, 1):
        page = (await receiver.http.get(path)).json()
        assert len(page["jobs"]) == size
        seen += [job["id"] for job in page["jobs"]]
        path = f"/v1/jobs?limit=2&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert seen == made[::-1]


async def test_a_full_last_page_has_no_cursor(receiver: Receiver) -> None:
    for _ in range(2):
        await create(receiver)
    assert (await receiver.http.get("/v1/jobs?limit=2")).json()["next_cursor"] is None


async def test_jobs_are_filtered_by_state_and_provider(receiver: Receiver) -> None:
    accepted, submitted = await create(receiver), await receiver.scenario.submit()
    heygen = await create(receiver, {"provider": "heygen", "model": "Another", "input": {}})

    async def listed(query: str) -> set[str]:
        return {job["id"] for job in (await receiver.http.get(f"/v1/jobs?{query}")).json()["jobs"]}

    assert await listed("") == await listed("state=&provider=&cursor=") == {accepted, submitted, heygen}
    assert await listed("state=submitted") == {submitted}
    assert await listed("provider=heygen") == {heygen}
    assert await listed("provider=fal&state=accepted") == {accepted}
    assert await listed("state=expired") == set()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=x",
        "limit=1e2",
        "limit=5.0",
        "limit=%D9%A1",
        "state=done",
        "provider=x",
    ],
)
async def test_invalid_query_parameters_get_400_that_names_them(receiver: Receiver, query: str) -> None:
    response = await receiver.http.get(f"/v1/jobs?{query}")
    assert is_problem(response, 400)
    name = query.partition("=")[0]
    assert response.json()["detail"].startswith(f"{name} must be ")
    assert [error["field"] for error in response.json()["errors"]] == [name]


async def test_events_of_a_job_are_listed_in_order(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    events = (await receiver.http.get(f"/v1/jobs/{job_id}/events")).json()["events"]
    assert events == [
        {"sequence": 1, "type": "job.accepted", "timestamp": "2026-01-01T00:00:01.000Z"},
        {"sequence": 2, "type": "job.submitted", "timestamp": "2026-01-01T00:00:01.000Z"},
    ]
    assert (await receiver.http.get(f"/v1/jobs/{job_id}/events?after=1")).json()["events"] == events[1:]
    assert is_problem(await receiver.http.get(f"/v1/jobs/{job_id}/events?after=-1"), 400)


@pytest.mark.parametrize("path", ["/v1/jobs/job_nowhere", "/v1/jobs/job_nowhere/events", f"/v1/jobs/{'x' * 5000}"])
async def test_an_unknown_job_gets_404(receiver: Receiver, path: str) -> None:
    assert is_problem(await receiver.http.get(path), 404)
