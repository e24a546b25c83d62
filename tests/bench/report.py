"""The figures as a table with their targets, and the comparison with stored ratios."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STORED = Path(__file__).with_name("stored.json")
ALLOWED = 0.20
"""The share of a stored ratio that may be lost before `make bench-check` fails: machines differ, ratios less so."""

GUARDED = {
    "callbacks": ("ratio_to_bare", "ratio_to_verify_only", "ratio_to_sample", "ratio_to_commit_each"),
    "deliveries": ("ratio_to_httpx", "ratio_to_httpx_aiohttp"),
}

Figures = dict[str, Any]


def _wanted(found: Figures) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what was measured, its value, its target, and whether that is met."""
    for name, lines in _LINES.items():
        if name in found:
            for what, shown, wanted, holds in lines:
                yield what, shown(found[name]), wanted, holds(found[name])


Line = tuple[str, Callable[[Figures], str], str, Callable[[Figures], bool]]

_LINES: dict[str, list[Line]] = {
    "callbacks": [
        (
            "callbacks, to bare Starlette",
            lambda f: f"{f['ratio_to_bare']:.3f}  ({f['per_second']['receiver']} / {f['per_second']['bare']} a second)",
            ">= 0.30",
            lambda f: f["ratio_to_bare"] >= 0.30,
        ),
        (
            "callbacks, to the sample handler",
            lambda f: f"{f['ratio_to_sample']:.1f}  ({f['per_second']['sample']} a second)",
            ">= 8",
            lambda f: f["ratio_to_sample"] >= 8,
        ),
        (
            "callbacks, p99 at half that load",
            lambda f: (
                f"{f['half_load']['p99_ms']} ms  (while delivering: {f['half_load']['p99_ms_while_delivering']} ms)"
            ),
            "< 25 ms",
            lambda f: f["half_load"]["p99_ms"] < 25,
        ),
    ],
    "deliveries": [
        (
            "deliveries, to a bare httpx loop, 64 at once",
            lambda f: f"{f['ratio_to_httpx']:.1f}  ({f['per_second']} / {f['httpx_per_second']} a second)",
            ">= 3",
            lambda f: f["ratio_to_httpx"] >= 3,
        ),
        (
            "deliveries a second on one core",
            lambda f: str(f["per_second"]),
            ">= 1500",
            lambda f: f["per_second"] >= 1500,
        ),
    ],
    "notifications": [
        (
            "callback to notification, p50 / p99",
            lambda f: f"{f['p50_ms']} / {f['p99_ms']} ms at {f['rate']} a second",
            "< 10 / < 50 ms",
            lambda f: f["p50_ms"] < 10 and f["p99_ms"] < 50,
        )
    ],
    "growth": [
        (
            "with finished jobs, to without",
            lambda f: ", ".join(f"{name} {ratio:.2f}" for name, ratio in f["ratios"].items()),
            "within 10 %",
            lambda f: all(_no_worse(name, ratio) for name, ratio in f["ratios"].items()),
        ),
        (
            "the slowest listing, p99",
            lambda f: f"{max(f['listings_ms'].values())} ms  ({max(f['listings_ms'], key=f['listings_ms'].get)})",
            "< 20 ms",
            lambda f: max(f["listings_ms"].values()) < 20,
        ),
        ("bytes a finished job", lambda f: str(f["bytes_per_job"]), "reported", lambda _: True),
    ],
    "scaled": [
        (
            "callbacks a second on Postgres, 1 / 2 / 4 receivers",
            lambda f: " / ".join(str(each["per_second"]) for each in f["postgres"].values()),
            "all recorded",
            lambda f: all(
                each["recorded"] >= each["answered"] and not each["faults"] for each in f["postgres"].values()
            ),
        ),
        (
            "CPU of a callback: one receiver, and Postgres; on SQLite",
            lambda f: (
                f"{f['postgres']['1']['receiver_cpu_us']} + {f['postgres']['1']['postgres_cpu_us']} us; "
                f"{f['sqlite_cpu_us']} us"
            ),
            "reported",
            lambda _: True,
        ),
        (
            "tasks a second through the queue on Postgres, by one process",
            lambda f: (
                f"{f['queue']['alone']['per_second']}, with {f['queue']['with_others']['others']} due later "
                f"{f['queue']['with_others']['per_second']}"
            ),
            "reported",
            lambda _: True,
        ),
        (
            "one job on Postgres, from acceptance to its last delivery",
            lambda f: (
                f"{f['job_cost']['statements']} statements, {f['job_cost']['bytes']} bytes, "
                f"{f['job_cost']['wal_bytes']} of log, {f['job_cost']['postgres_cpu_us']} us of its CPU"
            ),
            "reported",
            lambda _: True,
        ),
    ],
    "soak": [
        (
            "memory over the soak",
            lambda f: f"{f['settled_mb']} -> {f['at_the_end_mb']} MB, highest {f['highest_mb']}, {f['seconds']} s",
            "< 150 MB, flat",
            lambda f: f["highest_mb"] < 150 and f["at_the_end_mb"] < 1.05 * f["settled_mb"],
        )
    ],
    "starting": [
        (
            "first 200 after exec",
            lambda f: f"{f['first_200_seconds_empty']} s, with finished jobs {f['first_200_seconds_full']} s",
            "< 1.0 s",
            lambda f: max(f["first_200_seconds_empty"], f["first_200_seconds_full"]) < 1.0,
        ),
        (
            "CPU when idle",
            lambda f: f"{f['idle_cpu_percent_empty']} %, with finished jobs {f['idle_cpu_percent_full']} %",
            "near zero",
            lambda f: max(f["idle_cpu_percent_empty"], f["idle_cpu_percent_full"]) < 1,
        ),
    ],
    "overload": [
        (
            "overload: acknowledged and not in the ledger",
            lambda f: str(f["named"]["acknowledged_and_not_in_the_ledger"]),
            "0",
            lambda f: f["named"]["acknowledged_and_not_in_the_ledger"] == 0 and f["recorded"] >= f["acknowledged"],
        ),
        (
            "overload: shed, without Retry-After, longest answer",
            lambda f: (
                f"{f['shed'] + f['named']['shed']}, {f['named']['shed_without_retry_after']}, "
                f"{f['named']['longest_ms']} ms; {f['memory_mb']['peak']} MB"
            ),
            "all with, bounded",
            lambda f: f["named"]["shed_without_retry_after"] == 0 and f["named"]["longest_ms"] < 5000,
        ),
        (
            "overload: ready again after",
            lambda f: f"{f['recovered_after_seconds']} s",
            "< 5 s",
            lambda f: f["recovered_after_seconds"] < 5,
        ),
    ],
}


def _no_worse(name: str, ratio: float) -> bool:
    return ratio <= 1.1 if name.endswith("_ms") else ratio >= 0.9


def table(found: Figures) -> str:
    """Write a Markdown table of everything that was measured."""
    rows = [
        f"| {what} | {shown} | {wanted} | {'yes' if holds else 'NO'} |" for what, shown, wanted, holds in _wanted(found)
    ]
    return "\n".join(["| what | measured | wanted | met |", "|---|---|---|---|", *rows])


def compared(found: Figures, stored: Figures) -> list[tuple[str, float, float, bool]]:
    """Compare the guarded ratios with the stored ones: name, found, stored, and whether too much was lost."""
    return [
        (
            f"{name} {ratio}",
            found[name][ratio],
            stored[name][ratio],
            found[name][ratio] < (1 - ALLOWED) * stored[name][ratio],
        )
        for name, ratios in GUARDED.items()
        for ratio in ratios
    ]


def check(found: Figures) -> int:
    """Print the comparison, and return 1 when a ratio has lost more than is allowed."""
    lines = compared(found, json.loads(STORED.read_text()))
    for name, now, then, lost in lines:
        print(f"{'LOST' if lost else 'kept'}  {name}: {now:.3f}, stored {then:.3f}")  # noqa: T201 - this command's output
    return int(any(lost for *_, lost in lines))


def store(found: Figures) -> None:
    """Store the guarded ratios, for later runs to compare with."""
    kept = {name: {ratio: round(found[name][ratio], 4) for ratio in ratios} for name, ratios in GUARDED.items()}
    STORED.write_text(json.dumps(kept, indent=2) + "\n")
