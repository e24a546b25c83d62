"""The commands that run a receiver or a worker: `serve`, `work`, `migrate`."""

import os
from collections.abc import Callable, Coroutine

import click

from ledger.urls import on_postgres
from receiver import process
from receiver.settings import Settings, SettingsError, read_settings
from receiver.web.server import CannotListen
from renderhook.errors import CommandError
from renderhook.event_loop import run
from telemetry.library_records import format_exception
from telemetry.logs import open_telemetry
from telemetry.telemetry import Telemetry


@click.command()
def serve() -> None:
    """Serve HTTP, submit, poll and notify until SIGTERM, with the settings of the environment."""
    settings = _settings()
    try:
        _run(process.serve, settings)
    except CannotListen as error:
        raise CommandError(str(error)) from None


@click.command()
def work() -> None:
    """Submit, poll and notify until SIGTERM, beside receivers on the same Postgres database; serve no HTTP."""
    settings = _settings()
    if not on_postgres(settings.database_url):
        fault = "DATABASE_URL: `work` needs Postgres; with SQLite the process that serves does the work itself"
        raise CommandError(fault)
    _run(process.work_alone, settings)


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date and exit. `serve` does the same when it starts."""
    _run(process.migrate, _settings())
    click.echo("the database is up to date")


def _settings() -> Settings:
    try:
        return read_settings(os.environ)
    except SettingsError as error:
        raise CommandError(*error.faults) from None


def _run(main: Callable[[Settings, Telemetry], Coroutine[None, None, None]], settings: Settings) -> None:
    with open_telemetry(settings.log_format, settings.log_level) as emit:
        try:
            run(main(settings, emit))
        except (click.ClickException, CannotListen):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends with one line
            emit("process.crashed", exception=format_exception(error))
            raise CommandError(f"an unforeseen {type(error).__name__} ended the process; the log has it") from None
