"""The command line: talks to a running receiver over HTTP, never to the database or to a provider."""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn
from urllib.parse import quote

import click

_ENDED = frozenset({"completed", "failed", "canceled", "expired"})
_FIRST_LOOK, _LONGEST_LOOK = 0.5, 5.0
"""Seconds between looks while waiting: the first, growing to the last."""


@click.group(context_settings={"max_content_width": 110})
@click.option(
    "--url", envvar="RENDERHOOK_URL", default="http://127.0.0.1:8000", show_default=True, help="[RENDERHOOK_URL]"
)
@click.option("--api-key", envvar="API_KEY", default="", help="The receiver's API key, the first one. [API_KEY]")
@click.pass_context
def main(context: click.Context, url: str, api_key: str) -> None:
    """Submit jobs to a running receiver, look at them, wait for them.

    Inputs are key=value. A value that is JSON (true, 3, {"a": 1}, "quoted") is taken as that, any other as text.
    Exit codes: 0 done (for wait: completed), 1 the job ended otherwise, 2 it could not be asked.
    """
    context.obj = (url, api_key.split(",", maxsplit=1)[0].strip())


def _submission(command: Any) -> Any:
    for option in (
        click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Kept with the job, given back with it."),
        click.option("--notify", multiple=True, metavar="URL", help="Tell this URL too. May be repeated."),
        click.option("--idempotency-key", help="The same key never makes a second job. Default: a new one."),
        click.option("--wait", "wait_for_it", is_flag=True, help="Wait until the job has ended."),
        click.argument("inputs", nargs=-1, metavar="KEY=VALUE..."),
    ):
        command = option(command)
    return click.pass_obj(command)


@main.command()
def work() -> None:
    """Do the work of receivers on the same Postgres, with their settings: submit, check, notify."""
    # The process is composed in one place, and no arrow of the architecture points there from here.
    os.execv(sys.executable, [sys.executable, "-m", "receiver", "work"])  # noqa: S606 - it is our own interpreter and our own words: no shell, nothing from outside


@main.command()
@click.argument("model")
@_submission
def fal(server: tuple[str, str], model: str, **options: Any) -> None:
    """Submit a fal MODEL, such as half-moon-ai/ai-face-swap/faceswapvideo."""
    _submit(server, "fal", model, **options)


@main.command()
@click.argument("workflow_type", metavar="TYPE")
@_submission
def heygen(server: tuple[str, str], workflow_type: str, **options: Any) -> None:
    """Submit a HeyGen workflow TYPE, such as FaceswapNode."""
    _submit(server, "heygen", workflow_type, **options)


@main.command()
@click.argument("job_id", metavar="ID")
@click.pass_obj
def status(server: tuple[str, str], job_id: str) -> None:
    """Show a job as JSON."""
    click.echo(json.dumps(_ask(server, "GET", f"/v1/jobs/{quote(job_id, safe='')}"), indent=2, ensure_ascii=False))


@main.command()
@click.argument("job_id", metavar="ID")
@click.option("--timeout", type=float, default=3600.0, show_default=True, help="Seconds to wait at most.")
@click.pass_obj
def wait(server: tuple[str, str], job_id: str, timeout: float) -> None:
    """Wait until a job has ended, and print where its outputs are."""
    _wait(server, job_id, timeout)


def _submit(
    server: tuple[str, str],
    provider: str,
    model: str,
    *,
    inputs: Sequence[str],
    metadata: Sequence[str],
    notify: Sequence[str],
    idempotency_key: str | None,
    wait_for_it: bool,
) -> None:
    import secrets  # noqa: PLC0415 - as httpx below: not for `--help`

    body = {
        "provider": provider,
        "model": model,
        "input": _pairs(inputs, "KEY=VALUE"),
        "metadata": _pairs(metadata, "--metadata"),
        "notify": list(notify),
    }
    # A key of our own makes the retries of `_ask` safe: the receiver takes the job once.
    headers = {"Idempotency-Key": idempotency_key or f"cli-{secrets.token_hex(16)}"}
    job = _ask(server, "POST", "/v1/jobs", body=body, headers=headers)
    click.echo(job["id"])
    if wait_for_it:
        _wait(server, job["id"], 3600.0)


def _wait(server: tuple[str, str], job_id: str, timeout: float) -> None:
    deadline, pause, seen = time.monotonic() + timeout, _FIRST_LOOK, ""
    while True:
        job = _ask(server, "GET", f"/v1/jobs/{quote(job_id, safe='')}")
        if job["state"] != seen:
            seen = job["state"]
            click.echo(f"{job_id} {seen}", err=True)
        if seen in _ENDED:
            break
        if time.monotonic() >= deadline:
            _give_up(f"{job_id} is still {seen} after {timeout:g} s")
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _LONGEST_LOOK)
    for output in job["outputs"]:
        click.echo(output["url"])
    if job["error"]:
        click.echo(f"{job['error']['fault']}: {job['error']['message']}", err=True)
    sys.exit(0 if seen == "completed" else 1)


def _pairs(texts: Sequence[str], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{what}: {text!r} is not key=value")
        if key in found:
            raise click.UsageError(f"{what}: {key} is given twice")
        found[key] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def _ask(
    server: tuple[str, str], method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None
) -> Any:
    """Ask the receiver for a job, three times when it is not there or says 503; end with one line when it says no."""
    import httpx  # noqa: PLC0415 - `--help` need not wait for it

    url, api_key = server
    sent = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    for last in (False, False, True):
        try:
            answer = httpx.request(
                method, url.rstrip("/") + path, json=body, headers=sent | (headers or {}), timeout=30, trust_env=False
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if last or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                _give_up(f"no receiver answers at {url} ({error}); start one, or set RENDERHOOK_URL")
        except ValueError as error:  # a key that no header can hold, a number that JSON has no word for
            _give_up(f"this cannot be sent: {error}")
        else:
            if answer.is_success:
                return _read_job(answer)
            if answer.status_code != 503 or last:
                _give_up(_complaint(answer))
        time.sleep(1.0)
    raise AssertionError("the last try returns or gives up")


def _read_job(answer: Any) -> Any:
    try:
        job = answer.json()
    except ValueError:
        job = None
    if not isinstance(job, dict) or not {"id", "state", "outputs", "error"} <= job.keys():
        _give_up(_complaint(answer))
    return job


def _complaint(answer: Any) -> str:
    try:
        return f"{answer.status_code}: {answer.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code}: this does not look like a receiver's answer; is RENDERHOOK_URL right?"


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"submitter: {sentence}", err=True)
    sys.exit(2)
