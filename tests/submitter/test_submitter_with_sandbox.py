"""The submitter against the sandbox, over real sockets: the sandbox counts what it would bill."""

from collections.abc import Iterator

import httpx
import pytest

from ledger.records import JobState
from providers.fal.provider import FalAccount
from providers.heygen.provider import HeygenAccount
from providers.http import Send
from providers.provider import Context
from sandbox.app import create_app
from sandbox.options import Options
from tests.outbound.loopback import until
from tests.sandbox.doubles import serving
from tests.submitter.conftest import Opening
from tests.submitter.harness import LEASE, TOKENS, Harness

INPUTS = {
    "fal": '{"source_face_url": "https://e.example/f.jpg", "target_video_url": "https://e.example/a.mp4#fault=%s"}',
    "heygen": '{"source_image_url": "https://e.example/f.jpg", "target_video_url": "https://e.example/a.mp4#fault=%s"}',
}
MODELS = {"fal": "half-moon-ai/ai-face-swap/faceswapvideo", "heygen": "FaceswapNode"}
BOTH = pytest.mark.parametrize("provider", ["fal", "heygen"])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with serving(create_app(Options(render_seconds=0.02))) as url:
        yield url


class Side:
    """The sandbox, the harness that submits to it, and what it has billed."""

    def __init__(self, url: str, harness: Harness, send: Send) -> None:
        self.url = url
        self.harness = harness
        self.send = send
        self._billed_before = len(self._submissions())

    def _submissions(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = httpx.get(f"{self.url}/sandbox/submissions", trust_env=False).json()
        return found

    @property
    def billed(self) -> int:
        return len(self._submissions()) - self._billed_before

    async def accept(self, provider: str, fault: str) -> str:
        return await self.harness.accept(provider, model=MODELS[provider], input=INPUTS[provider] % fault)

    async def submit(self) -> None:
        for task in await self.harness.due("submit"):
            await self.harness.submitter(self.send).handle(task)

    async def poll_until_ended(self, job_id: str) -> None:
        while (await self.harness.job(job_id)).finalized_at is None:  # at the latest it expires
            self.harness.clock.pass_seconds(12)
            for task in await self.harness.due("poll"):
                await self.harness.poller(self.send).handle(task)


@pytest.fixture
def side(sandbox: str, harness: Harness, opening: Opening) -> Side:
    context = Context(provider="fal", public_url=None, tokens=TOKENS)
    fal = FalAccount(
        queue_url=f"{sandbox}/fal",
        key="k:s",
        context=context,
        poll_every=5_000,
        reconcile_every=60_000,
        give_up_after=86_400_000,
    )
    heygen = HeygenAccount(
        api_url=f"{sandbox}/heygen",
        path="/v1/workflows/executions",
        key="hg",
        poll_interval=5_000,
        give_up_after=86_400_000,
    )
    harness.accounts = {"fal": fal, "heygen": heygen}
    return Side(sandbox, harness, opening(seconds=0.5))


@BOTH
@pytest.mark.parametrize(("fault", "state"), [("late", JobState.COMPLETED), ("failed", JobState.FAILED)])
async def test_a_job_ends_and_is_billed_once(provider: str, fault: str, state: JobState, side: Side) -> None:
    job_id = await side.accept(provider, fault)
    await side.submit()
    await side.poll_until_ended(job_id)
    job = await side.harness.job(job_id)
    assert (job.state, job.source, side.billed) == (state, "poll", 1)
    assert bool(job.outputs) == (state is JobState.COMPLETED)


@BOTH
@pytest.mark.parametrize("fault", ["429=2", "5xx=2"])
async def test_a_busy_provider_is_retried_until_it_takes_the_job_once(provider: str, fault: str, side: Side) -> None:
    job_id = await side.accept(provider, fault)
    for _ in range(3):
        assert side.billed == 0
        await side.submit()
        side.harness.clock.pass_seconds(5)
    assert (await side.harness.job(job_id)).state is JobState.SUBMITTED
    assert side.billed == 1
    await side.poll_until_ended(job_id)
    assert (await side.harness.job(job_id)).state is JobState.COMPLETED


@BOTH
@pytest.mark.parametrize("fault", ["silent", "slow=2"])
async def test_a_job_taken_without_a_response_is_billed_once(provider: str, fault: str, side: Side) -> None:
    job_id = await side.accept(provider, fault)
    await side.submit()
    assert (await side.harness.job(job_id)).state is JobState.UNCONFIRMED
    for _ in range(3):
        side.harness.clock.pass_seconds(LEASE)
        await side.submit()
    assert (await side.harness.job(job_id)).state is JobState.EXPIRED
    await until(lambda: side.billed == 1)


@BOTH
async def test_a_refused_job_is_not_billed(provider: str, side: Side) -> None:
    job_id = await side.accept(provider, "refused")
    await side.submit()
    assert ((await side.harness.job(job_id)).state, side.billed) == (JobState.FAILED, 0)


async def test_the_announced_end_of_heygens_api_is_a_warning(side: Side) -> None:
    await side.accept("heygen", "sunset")
    await side.submit()
    [event] = side.harness.emitted("provider.warning_received")
    assert "Sunset: Sat, 31 Oct 2026" in str(event["warning"])
