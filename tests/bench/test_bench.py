"""The benchmarks: their databases are whole, their callbacks verify, their check notices a loss."""

import copy
import hashlib
import json
import sqlite3
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ledger.records import JobState
from ledger.sqlite.store import open_sqlite
from ledger.transitions import jobs
from providers.callback_tokens import CallbackTokens
from providers.fal.callbacks import parse_callback, read_headers, verify_signature
from providers.fal.keys import parse_jwks
from tests.bench import against, report
from tests.bench.dataset import Dataset, make_dataset
from tests.bench.generator import percentile
from tests.conftest import NOON, PROVIDERS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("dataset"), open_jobs=20, finished_jobs=30, pending_deliveries=10)


def test_the_copies_of_a_job_are_as_whole_as_the_job(dataset: Dataset) -> None:
    ledger = sqlite3.connect(dataset.folder / "ledger.db")
    assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert ledger.execute("PRAGMA foreign_key_check").fetchall() == []
    counts = {
        table: ledger.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("jobs", "inputs", "outputs", "events", "receipts", "deliveries", "attempts", "work")
    }
    ledger.close()
    assert counts == {
        "jobs": 60,
        "inputs": 60,
        "outputs": 40,
        "events": 20 * 2 + 40 * 3,
        "receipts": 40,
        "deliveries": 30 * 2 + 10,
        "attempts": 60,
        "work": 20 + 1,
    }


async def test_every_copy_reads_like_a_job(dataset: Dataset, tmp_path: Path) -> None:
    store = await open_sqlite(dataset.ledger(tmp_path), now=NOON, providers=PROVIDERS)
    found = await jobs.list_jobs(store, limit=100)
    await store.close()
    assert len({job.provider_request_id for job in found}) == 60
    assert sum(job.state is JobState.COMPLETED for job in found) == 40
    assert all(job.outputs[0].url.count(job.id[4:]) == 1 for job in found if job.state is JobState.COMPLETED)


def test_every_callback_is_signed_for_the_job_that_its_path_names(dataset: Dataset) -> None:
    keys, tokens = parse_jwks(dataset.jwks.read_bytes()), CallbackTokens([dataset.secret_key])
    for callback in islice(dataset.callbacks(), 5):
        headers = read_headers([(name.encode(), value.encode()) for name, value in callback.headers.items()])
        verify_signature(headers, hashlib.sha256(callback.body).hexdigest(), keys)
        assert parse_callback(callback.body, headers).outcome is not None
        assert tokens.job_id(callback.path.rpartition("/")[2]) == callback.job_id


def test_the_file_for_wrk_has_a_callback_a_line(dataset: Dataset) -> None:
    lines = dataset.replay(7).read_text().splitlines()
    assert [len(line.split("\t")) for line in lines] == [6] * 7


def test_percentiles_are_of_those_that_were_measured() -> None:
    waits = [number / 1000 for number in range(1, 101)]
    assert [percentile(waits, share) for share in (0.5, 0.99, 1.0)] == [51.0, 100.0, 100.0]
    assert percentile([], 0.5) == 0.0


STORED: dict[str, Any] = {name: dict.fromkeys(ratios, 1.0) for name, ratios in report.GUARDED.items()}


def test_the_guard_lets_noise_pass_and_notices_a_loss() -> None:
    now = copy.deepcopy(STORED)
    now["callbacks"]["ratio_to_bare"] = 0.85
    assert not any(lost for *_, lost in report.compared(now, STORED))
    now["callbacks"]["ratio_to_bare"] = 0.79
    assert [name for name, *_, lost in report.compared(now, STORED) if lost] == ["callbacks ratio_to_bare"]


def test_what_is_not_met_is_said_in_the_table() -> None:
    found = {"notifications": {"p50_ms": 4.0, "p99_ms": 70.0, "rate": 300}}
    assert "| 4.0 / 70.0 ms at 300 a second | < 10 / < 50 ms | NO |" in report.table(found)


def test_the_stored_ratios_are_those_that_are_guarded() -> None:
    stored = json.loads(report.STORED.read_text())
    assert {name: tuple(ratios) for name, ratios in stored.items()} == report.GUARDED


def bench_json(**changed: float) -> dict[str, Any]:
    figures = {"rate": 1000.0, "bare": 1000.0, "ms": 10.0, "mb": 80.0} | changed
    return {
        "callbacks": {
            "per_second": {"receiver": figures["rate"], "bare": figures["bare"]},
            "half_load": {"p50_ms": figures["ms"], "p99_ms": figures["ms"]},
        },
        "deliveries": {"per_second": figures["rate"]},
        "starting": {"first_200_seconds_empty": figures["ms"], "memory_mb_empty": figures["mb"]},
    }


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({}, []),
        ({"rate": 951.0, "ms": 10.4, "mb": 83.9}, []),
        ({"rate": 949.0}, ["callbacks a second", "deliveries a second"]),
        ({"mb": 84.1}, ["idle memory, MB"]),
        ({"rate": 2000.0, "ms": 1.0, "mb": 1.0}, []),
        ({"bare": 1.0}, []),
    ],
)
def test_a_figure_that_is_worse_by_more_than_a_twentieth_is_lost(changed: dict[str, float], lost: list[str]) -> None:
    rounds = [bench_json(**changed), bench_json(**changed), bench_json(rate=1.0)]
    compared = against.compare([bench_json()] * 3, rounds)
    assert [each.figure.name for each in compared if each.lost] == lost
    assert against.table("abc", compared).count("LOST") == len(lost)
