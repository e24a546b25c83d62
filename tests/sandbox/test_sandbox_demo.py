import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from sandbox.demo.plan import PLAN, PlannedJob, RecordedJob, TrackedJob, differences
from sandbox.demo.processes import Children, DemoError, free_port

ROOT = Path(__file__).parents[2]
TWICE = next(plan for plan in PLAN if plan.receipts.get("duplicate"))
OUTPUT = ("http://127.0.0.1/a.png", "image/png", 1)


def tracked(plan: PlannedJob = TWICE, *, submitted: str | None = "1", finalized: str = "2") -> TrackedJob:
    job = {"id": "job_1", "state": plan.state, "submitted_at": submitted, "finalized_at": finalized}
    return TrackedJob(plan=plan, job=job, notified={"job.submitted", f"job.{plan.state}"}, acknowledged=2)


def recorded() -> RecordedJob:
    return RecordedJob(
        state="completed",
        source="callback",
        outputs=[OUTPUT],
        receipts=Counter({("callback", "recorded"): 1, ("callback", "duplicate"): 1}),
        deliveries=[("job.submitted", "delivered", 1), ("job.completed", "delivered", 2)],
    )


def test_a_job_that_went_as_planned_has_no_differences() -> None:
    assert tracked().settled
    assert differences(tracked(), recorded()) == []


def test_each_difference_is_a_message() -> None:
    job, found = tracked(), recorded()
    job.acknowledged = 1
    found.source = "poll"
    found.receipts["callback", "recorded"] = 2
    found.deliveries.append(("job.completed", "dead", 10))
    assert not job.settled
    assert differences(job, found) == [
        f"{TWICE.name}: source is 'poll', expected 'callback'",
        f"{TWICE.name}: receipts is {{'recorded': 2, 'duplicate': 1}}, expected {{'recorded': 1, 'duplicate': 1}}",
        f"{TWICE.name}: callbacks acknowledged is 1, expected 2",
        f"{TWICE.name}: delivery states is ['dead', 'delivered'], expected ['delivered']",
    ]
    assert differences(job, None) == [f"{TWICE.name}: the database has no job job_1"]


@pytest.mark.parametrize("submitted", [None, "2"])
def test_a_callback_before_the_submit_response_leaves_no_submitted_event(submitted: str | None) -> None:
    assert tracked(submitted=submitted).expected_events == {"job.completed"}


def test_a_child_that_exits_while_starting_is_an_error_with_its_log(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        children.start("one", "sandbox", "--nonsense")
        with pytest.raises(DemoError, match="the one exited with 2 while starting"):
            children.announced_url("one")
        assert "--nonsense" in children.tails()


def test_a_child_that_does_not_answer_in_time_is_an_error_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Children(tmp_path) as children:
        children.start("one", "sandbox", "--port", "0")
        children.announced_url("one")
        monkeypatch.setattr("sandbox.demo.processes.START_SECONDS", 0.1)
        with pytest.raises(DemoError, match="the one was not ready within"):
            children.wait_ready("one", f"http://127.0.0.1:{free_port()}/readyz")
    assert children._children["one"].returncode == 0


def test_children_do_not_inherit_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "a-real-key")
    (tmp_path / "show.py").write_text("import os; print(sorted(os.environ))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Children(tmp_path) as children:
        children.start("show", "show", settings={"API_KEY": "x"})
        assert children._children["show"].wait(10) == 0
    shown = (tmp_path / "show.log").read_text()
    assert "'API_KEY'" in shown
    assert "FAL_KEY" not in shown


def test_the_demo_prints_the_log_of_a_receiver_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "receiver").mkdir()
    (tmp_path / "receiver/__main__.py").write_text(
        textwrap.dedent("""\
        import sys
        sys.exit("boom")
        """)
    )
    (tmp_path / "receiver/__init__.py").touch()
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox.demo", "--folder", str(tmp_path / "kept")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert "boom" in ended.stderr
    assert ended.stderr.endswith("demo: DemoError: the receiver exited with 1 while starting\n")
    assert (tmp_path / "kept/receiver.log").read_text() == "boom\n"


def test_the_demo_exits_0_when_every_job_went_as_planned(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox.demo", "--folder", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    last = "demo: 5 jobs, 4 completed, 1 failed, 4 outputs recorded, 10 notifications verified\n"
    assert ended.stdout.endswith(last)
