"""The submitter against the sandbox, over real sockets: what is billed is counted where it would be billed."""

from collections.abc import Iterator

import httpx
import pytest

from ledger.records import JobState
from providers.http import Send
from sandbox.app import create_app
from sandbox.options import Options
from submitter.accounts import FalAccount, HeygenAccount
from tests.sandbox.doubles import serving
from tests.submitter.conftest import Opening
from tests.submitter.desk import LEASE, TOKENS, Desk
from tests.submitter.lines import until

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


class Provider:
    """The sandbox as the desk asks it, and what it has billed for one job's input."""

    def __init__(self, url: str, desk: Desk, send: Send) -> None:
        self.url = url
        self.desk = desk
        self.send = send
        self._billed_before = len(self._submissions())

    def _submissions(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = httpx.get(f"{self.url}/sandbox/submissions", trust_env=False).json()
        return found

    @property
    def billed(self) -> int:
        return len(self._submissions()) - self._billed_before

    async def accept(self, provider: str, fault: str) -> str:
        fields = {"model": MODELS[provider], "input": INPUTS[provider] % fault}
        return await self.desk.accept(provider, **fields)  # type: ignore[arg-type]

    async def submit(self) -> None:
        for task in await self.desk.due("submit"):
            await self.desk.submitter(self.send).handle(task)

    async def check_until_ended(self, job_id: str) -> None:
        while (await self.desk.job(job_id)).finalized_at is None:  # at the latest when it is given up
            self.desk.clock.pass_seconds(12)
            for task in await self.desk.due("poll"):
                await self.desk.poller(self.send).handle(task)


@pytest.fixture
def provider_side(sandbox: str, desk: Desk, opening: Opening) -> Provider:
    polled = {"poll_every": 5_000, "give_up_after": 86_400_000}
    desk.accounts = {
        "fal": FalAccount(
            queue_url=f"{sandbox}/fal", key="k:s", tokens=TOKENS, public_url=None, reconcile_every=60_000, **polled
        ),
        "heygen": HeygenAccount(api_url=f"{sandbox}/heygen", key="hg", **polled),
    }
    return Provider(sandbox, desk, opening(seconds=0.5))


@BOTH
@pytest.mark.parametrize(("fault", "state"), [("late", JobState.COMPLETED), ("failed", JobState.FAILED)])
async def test_a_job_goes_to_its_end_and_is_billed_once(
    provider: str, fault: str, state: JobState, provider_side: Provider
) -> None:
    job_id = await provider_side.accept(provider, fault)
    await provider_side.submit()
    await provider_side.check_until_ended(job_id)
    job = await provider_side.desk.job(job_id)
    assert (job.state, job.source, provider_side.billed) == (state, "poll", 1)
    assert bool(job.outputs) == (state is JobState.COMPLETED)


@BOTH
@pytest.mark.parametrize("fault", ["429=2", "5xx=2"])
async def test_a_busy_provider_is_asked_until_it_takes_the_job_once(
    provider: str, fault: str, provider_side: Provider
) -> None:
    job_id = await provider_side.accept(provider, fault)
    for _ in range(3):
        assert provider_side.billed == 0
        await provider_side.submit()
        provider_side.desk.clock.pass_seconds(5)
    assert (await provider_side.desk.job(job_id)).state is JobState.SUBMITTED
    assert provider_side.billed == 1
    await provider_side.check_until_ended(job_id)
    assert (await provider_side.desk.job(job_id)).state is JobState.COMPLETED


@BOTH
@pytest.mark.parametrize("fault", ["silent", "slow=2"])
async def test_a_job_that_was_taken_without_an_answer_is_billed_once_and_never_again(
    provider: str, fault: str, provider_side: Provider
) -> None:
    job_id = await provider_side.accept(provider, fault)
    await provider_side.submit()
    assert (await provider_side.desk.job(job_id)).state is JobState.UNCONFIRMED
    for _ in range(3):
        provider_side.desk.clock.pass_seconds(LEASE)
        await provider_side.submit()
    assert (await provider_side.desk.job(job_id)).state is JobState.EXPIRED
    await until(lambda: provider_side.billed == 1)


@BOTH
async def test_a_refused_job_is_billed_never(provider: str, provider_side: Provider) -> None:
    job_id = await provider_side.accept(provider, "refused")
    await provider_side.submit()
    assert ((await provider_side.desk.job(job_id)).state, provider_side.billed) == (JobState.FAILED, 0)


async def test_the_announced_end_of_heygens_api_is_heard(provider_side: Provider) -> None:
    await provider_side.accept("heygen", "sunset")
    await provider_side.submit()
    [fact] = provider_side.desk.heard.named("provider.warning_received")
    assert "Sunset: Sat, 31 Oct 2026" in str(fact["warning"])
