"""The commands that create and read jobs through a running receiver's HTTP API."""

import json
import secrets
import time
from collections.abc import Sequence
from time import sleep
from typing import Any

import click

from renderhook.errors import RequestError
from renderhook.receiver_client import ReceiverClient

_TERMINAL = frozenset({"completed", "failed", "canceled", "expired"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between the polls of `wait`: the first pause, growing to the longest."""
_WAIT_SECONDS = 3600.0
_COLUMNS = ("id", "provider", "state", "created_at", "model")

Server = tuple[str, str, str]
"""URL, API key, and the option or setting that gave the key, as the group `renderhook` read them."""


@click.command()
@click.option("--state", help="Only jobs in this state.")
@click.option("--provider", help="Only jobs of this provider.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print the jobs as a JSON array.")
@click.pass_obj
def jobs(server: Server, /, *, state: str | None, provider: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    found = list(ReceiverClient(*server).jobs(limit, state=state, provider=provider))
    if as_json:
        _print_json(found)
        return
    rows = [_COLUMNS, *(tuple(str(job[column]) for column in _COLUMNS) for job in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command()
@click.argument("job_id", metavar="ID")
@click.pass_obj
def status(server: Server, /, job_id: str) -> None:
    """Show a job as JSON."""
    _print_json(ReceiverClient(*server).job(job_id))


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--timeout", type=float, default=_WAIT_SECONDS, show_default=True, help="Seconds to wait at most.")
@click.pass_obj
def wait(server: Server, /, job_id: str, timeout: float) -> None:
    """Wait until a job has ended, and print the URLs of its outputs.

    Exit code: 0 if the job completed, 1 if it ended otherwise, 2 if it has not ended in time.
    """
    _wait(ReceiverClient(*server), job_id, timeout)


def submit_command(provider: str) -> click.Command:
    """Make the command that submits a job to a provider."""

    @click.command(
        name=provider, help=_SUBMIT_HELP.format(provider=provider), short_help=f"Submit a job to {provider}."
    )
    @click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with the job and returned with it.")
    @click.option("--notify", multiple=True, metavar="URL", help="Notify this URL too. May be repeated.")
    @click.option("--idempotency-key", help="The same key never creates a second job. Default: a new key.")
    @click.option("--allow-unknown-model", is_flag=True, help="Submit although the model looks like a typing mistake.")
    @click.option("--wait", "wait_for_end", is_flag=True, help="Wait until the job has ended.")
    @click.argument("model")
    @click.argument("inputs", nargs=-1, metavar="KEY=VALUE...")
    @click.pass_obj
    def submit(server: Server, /, *, wait_for_end: bool, idempotency_key: str | None, **job: Any) -> None:
        client = ReceiverClient(*server)
        body = {
            "provider": provider,
            "model": job["model"],
            "input": _pairs(job["inputs"], "KEY=VALUE"),
            "metadata": _pairs(job["metadata"], "--metadata"),
            "notify": list(job["notify"]),
        }
        if job["allow_unknown_model"]:
            body["allow_unknown_model"] = True
        # A key of our own makes the client's retries safe: the receiver creates the job once.
        created = client.create_job(body, idempotency_key or f"cli-{secrets.token_hex(16)}")
        click.echo(created["id"])
        if wait_for_end:
            _wait(client, created["id"], _WAIT_SECONDS)

    return submit


_SUBMIT_HELP = """Submit a job to {provider}, and print its id.

MODEL is the provider's own name, such as half-moon-ai/ai-face-swap/faceswapvideo (fal) or FaceswapNode (HeyGen).
The input is given as KEY=VALUE. A value that is JSON (true, 3, {{"a": 1}}, "quoted") is sent as that, any other as
text.
"""


def _wait(client: ReceiverClient, job_id: str, timeout: float) -> None:
    deadline, pause, state = time.monotonic() + timeout, _FIRST_PAUSE, ""
    while (job := client.job(job_id))["state"] not in _TERMINAL:
        state = _print_change(job, state)
        if time.monotonic() >= deadline:
            raise RequestError(f"{job_id} is still {state} after {timeout:g} s")
        sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    _print_change(job, state)
    for output in job["outputs"]:
        click.echo(output["url"])
    if job["error"]:
        click.echo(f"{job['error']['fault']}: {job['error']['message']}", err=True)
    click.get_current_context().exit(0 if job["state"] == "completed" else 1)


def _print_change(job: dict[str, Any], before: str) -> str:
    state: str = job["state"]
    if state != before:
        click.echo(f"{job['id']} {state}", err=True)
    return state


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _pairs(texts: Sequence[str], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{name}: {text!r} is not key=value")
        if key in found:
            raise click.UsageError(f"{name}: {key} is given twice")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
