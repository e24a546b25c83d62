"""The commands that run a receiver or a worker: `serve`, `work`, `migrate`."""

import os

import click

from receiver import process
from receiver.http.server import CannotListen
from receiver.settings import Settings, SettingsError, read_settings, redactor_of
from renderhook.errors import CommandError
from renderhook.event_loop import run
from telemetry.logs import configure_logs


@click.command()
def serve() -> None:
    """Serve HTTP, submit, poll and notify until SIGTERM, with the settings of the environment."""
    settings = _settings()
    try:
        run(process.serve(settings, os.environ))
    except CannotListen as error:
        raise CommandError(str(error)) from None


@click.command()
def work() -> None:
    """Submit, poll and notify until SIGTERM, beside receivers on the same Postgres database; serve no HTTP.

    On SQLite it waits and does nothing: the process that serves does the work itself.
    """
    run(process.work_alone(_settings(), os.environ))


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date and exit. `serve` does the same when it starts."""
    run(process.migrate(_settings()))
    click.echo("the database is up to date")


@click.command()
def restored() -> None:
    """After a backup was restored: submit none of its jobs again silently.

    All receivers and workers have to be stopped. A job that is accepted in the backup may have been submitted since. It
    becomes unconfirmed: its callback settles it, or it expires with the advice to check the provider's dashboard.
    """
    number = run(process.mark_restored(_settings()))
    click.echo(f"{number} jobs are unconfirmed now: each may have been submitted after the backup was made")


def _settings() -> Settings:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        raise CommandError(*error.faults) from None
    configure_logs(settings.log_format, settings.log_level, redact=redactor_of(settings))
    return settings
