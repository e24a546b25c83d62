"""`python -m receiver`: serve, or say in one line why not."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from ledger.errors import LedgerError
from ledger.urls import on_postgres
from receiver.settings import Settings, SettingsError, read_settings

P = ParamSpec("P")
T = TypeVar("T")


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Receive what fal and HeyGen render. Without a command: serve, with the environment's settings."""
    if context.invoked_subcommand is None:
        context.invoke(serve)


@main.command()
def serve() -> None:
    """Serve until SIGTERM."""
    settings = _settings()
    from receiver import process  # noqa: PLC0415 - `--help` and faulty settings need not wait for the web stack

    _run(process.serve, settings)


@main.command()
def work() -> None:
    """Submit, check and notify until SIGTERM, beside receivers on the same Postgres; serve nothing."""
    settings = _settings()
    if not on_postgres(settings.database_url):
        _refuse("DATABASE_URL: work apart needs Postgres; on a file of SQLite's the receiver does the work itself")
    from receiver import process  # noqa: PLC0415 - the web stack again, only for this command

    _run(process.work_alone, settings)


@main.command()
def migrate() -> None:
    """Bring the ledger's schema up to date, and stop. Serving does the same at its start."""
    settings = _settings()
    from receiver import process  # noqa: PLC0415 - the web stack again, only for this command

    _run(process.migrate, settings)
    click.echo("the ledger is up to date")


@main.command()
@click.option("--from", "source", metavar="URL", required=True, help="The ledger: sqlite:///path.")
@click.option("--to", "target", metavar="URL", required=True, help="An empty database: postgres://host/name.")
@click.option("--while-running", is_flag=True, help="Copy beside a receiver; another pass, without it, must follow.")
@click.option("--undo", is_flag=True, help="Make --from the ledger again, if nothing has happened at --to.")
def copy(source: str, target: str, *, while_running: bool, undo: bool) -> None:
    """Move a ledger from SQLite to Postgres, as docs/moving.md tells. Repeated, it brings what is new or changed."""
    from renderhook import copy_output as copying  # noqa: PLC0415 - what copies need not be there to serve

    if undo and while_running:
        _refuse("--undo is done with the receivers of both ledgers stopped, so not --while-running")
    if undo:
        _run(copying.take_back, source, target)
    elif fault := _run(copying.copy, source, target, while_running=while_running):
        _refuse(fault)


def _settings() -> Settings:
    from telemetry.logs import configure_logs  # noqa: PLC0415 - `--help` writes no log, and need not wait for what does

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _refuse(*error.faults)
    configure_logs(settings.log_format, settings.log_level)
    return settings


def _run(action: Callable[P, Coroutine[Any, Any, T]], *given: P.args, **named: P.kwargs) -> T:
    from receiver.web.server import CannotListen  # noqa: PLC0415 - brings uvicorn, which `--help` does not need

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(action(*given, **named))
    except (CannotListen, LedgerError) as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not there on Windows, where asyncio's own loop does
    except ImportError:
        return None
    return uvloop.new_event_loop


def _refuse(*faults: str) -> NoReturn:
    for fault in faults:
        click.echo(f"renderhook: {fault}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
