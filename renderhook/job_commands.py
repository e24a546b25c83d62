"""The commands that create and read jobs through a running receiver's HTTP API."""

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from renderhook.errors import INTERRUPTED, RequestError, UnansweredError
from renderhook.receiver_client import ReceiverClient
from renderhook.waiting import WAIT_SECONDS, wait_for
from settings.environment import text_of

_COLUMNS = ("id", "provider", "state", "created_at", "model")

Server = tuple[str, str | None]
"""URL and API key, as the options of `renderhook` gave them."""


@click.command()
@click.option("--state", help="Only jobs in this state.")
@click.option("--provider", help="Only jobs of this provider.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print the jobs as a JSON array.")
@click.pass_obj
def jobs(server: Server, /, *, state: str | None, provider: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    found = list(_client(server).jobs(limit, state=state, provider=provider))
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
    _print_json(_client(server).job(job_id))


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--timeout", type=float, default=WAIT_SECONDS, show_default=True, help="Seconds to wait at most.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as JSON.")
@click.pass_obj
def wait(server: Server, /, job_id: str, timeout: float, *, as_json: bool) -> None:
    """Wait until a job has ended, and print the URLs of its outputs. A receiver that restarts is waited for.

    Exit code: 0 if the job completed, 1 if it ended otherwise, 5 if it has not ended in time.
    """
    _finish(wait_for(_client(server), job_id, timeout), as_json=as_json)


def submit_command(provider: str) -> click.Command:
    """Make the command that submits a job to a provider."""

    @click.command(
        name=provider, help=_SUBMIT_HELP.format(provider=provider), short_help=f"Submit a job to {provider}."
    )
    @click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with the job and returned with it.")
    @click.option("--notify", multiple=True, metavar="URL", help="Notify this URL too. May be repeated.")
    @click.option("--idempotency-key", help="The same key never creates a second job. Default: a new key.")
    @click.option("--wait", "wait_for_end", is_flag=True, help="Wait until the job has ended.")
    @click.option("--json", "as_json", is_flag=True, help="Print the job as JSON instead of its id and its outputs.")
    @click.argument("model")
    @click.argument("inputs", nargs=-1, metavar="KEY=VALUE...")
    @click.pass_obj
    def submit(
        server: Server, /, *, wait_for_end: bool, as_json: bool, idempotency_key: str | None, **job: Any
    ) -> None:
        client = _client(server)
        body = {
            "provider": provider,
            "model": job["model"],
            "input": _pairs(job["inputs"], "KEY=VALUE"),
            "metadata": _pairs(job["metadata"], "--metadata"),
            "notify": list(job["notify"]),
        }
        # A key of our own makes the client's retries safe: the receiver creates the job once.
        created = _create(client, body, idempotency_key or f"cli-{secrets.token_hex(16)}")
        if not as_json:
            click.echo(created["id"])
        elif not wait_for_end:
            _print_json(created)
        if wait_for_end:
            _finish(wait_for(client, created["id"], WAIT_SECONDS), as_json=as_json)

    return submit


_SUBMIT_HELP = """Submit a job to {provider}, and print its id.

MODEL is the provider's own name, such as half-moon-ai/ai-face-swap/faceswapvideo (fal) or FaceswapNode (HeyGen).
The input is given as KEY=VALUE. A value that is JSON (true, 3, {{"a": 1}}, "quoted") is sent as that, any other as
text.
"""


def _client(server: Server) -> ReceiverClient:
    url, key = server
    option = "--api-key"
    if not key:
        option = "API_KEY_FILE" if os.environ.get("API_KEY_FILE", "").strip() else "API_KEY"
        try:
            key = text_of("API_KEY", os.environ)
        except ValueError as error:
            raise RequestError(f"{option}: {error}") from None
    return ReceiverClient(url, key.split(",", maxsplit=1)[0].strip(), option)


def _create(client: ReceiverClient, body: Mapping[str, Any], key: str) -> dict[str, Any]:
    def retrying(reason: str) -> None:
        click.echo(f"renderhook: {reason}; trying again under Idempotency-Key {key}", err=True)

    unknown = (
        f"it is unknown whether the job was created: the same command with --idempotency-key {key} creates no other"
    )
    try:
        return client.create_job(body, key, retrying=retrying)
    except UnansweredError as error:
        raise UnansweredError(error.message, unknown) from None
    except KeyboardInterrupt:
        click.echo(f"\nrenderhook: {unknown}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _finish(job: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(job)
    else:
        for output in job["outputs"]:
            click.echo(output["url"])
    if job["error"]:
        click.echo(f"{job['error']['fault']}: {job['error']['message']}", err=True)
    raise click.exceptions.Exit(0 if job["state"] == "completed" else 1)


def _print_json(value: object) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:  # a terminal that shows only some characters, such as cp1252
        text = json.dumps(value, indent=2)
    click.echo(text)


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
