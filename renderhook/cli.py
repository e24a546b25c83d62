"""The commands of `renderhook`. A command's module is imported when the command is used, not before."""

import os
import sys
from collections.abc import Collection
from io import TextIOWrapper
from pkgutil import resolve_name
from typing import Any, NamedTuple

import click

from renderhook.errors import INTERRUPTED, READER_GONE
from telemetry.version import VERSION

DEFAULT_URL = "http://127.0.0.1:8000"


class _Command(NamedTuple):
    place: str
    """`module:attribute` of a click command."""
    summary: str


_COMMANDS = {
    "serve": _Command("renderhook.server_commands:serve", "Serve HTTP, submit, poll and notify until SIGTERM."),
    "work": _Command("renderhook.server_commands:work", "Submit, poll and notify beside receivers; serve no HTTP."),
    "migrate": _Command("renderhook.server_commands:migrate", "Bring the database's schema up to date."),
    "restored": _Command(
        "renderhook.server_commands:restored", "After a backup was restored: submit none of its jobs again silently."
    ),
    "copy": _Command("renderhook.copy_command:copy", "Move a database from SQLite to Postgres."),
    "sandbox": _Command("sandbox.command:main", "Run simulated providers on loopback."),
    "demo": _Command("sandbox.demo.run:main", "Run five jobs against simulated providers, without keys or network."),
    "jobs": _Command("renderhook.job_commands:jobs", "List jobs, newest first."),
    "status": _Command("renderhook.job_commands:status", "Show a job as JSON."),
    "wait": _Command("renderhook.job_commands:wait", "Wait until a job has ended."),
}


class _LazyGroup(click.Group):
    """A group that lists its commands without importing them. Each provider's name is a command, usable or not."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Return the names in the order of `--help`."""
        return [*_COMMANDS, *_providers()]

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or make that of a provider. None for any other name."""
        if cmd_name in _COMMANDS:
            command: click.Command = resolve_name(_COMMANDS[cmd_name].place)
            return command
        if cmd_name not in _providers():
            return None
        from renderhook.job_commands import submit_command  # noqa: PLC0415 - imports httpx

        return submit_command(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Ctrl-C, and a reader of the output that goes away, end it without a traceback."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show, such as one of cp1252
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # or Python would try again to write what is left, at the end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(READER_GONE) from None

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command."""
        rows = [(name, command.summary) for name, command in _COMMANDS.items()]
        rows += [(name, f"Submit a job to {name}.") for name in _providers()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _providers() -> Collection[str]:
    from providers.registry import names  # noqa: PLC0415 - most commands need no provider

    return names()


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"renderhook {VERSION}")
        context.exit()


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--url", envvar="RENDERHOOK_URL", help=f"Default: {DEFAULT_URL}. [RENDERHOOK_URL]")
@click.option("--api-key", help="The receiver's API key. [API_KEY, the first of several, or API_KEY_FILE]")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def main(context: click.Context, url: str | None, api_key: str | None) -> None:
    """Submit jobs to fal and HeyGen, record every outcome once, and notify your systems.

    The settings of serve, work, migrate and restored are environment variables. The commands for jobs send requests to
    a running receiver at --url.

    Exit codes: 0 done (wait and --wait: the job completed), 1 the job ended otherwise or the server cannot run,
    2 wrong usage, 3 refused by the receiver, 4 no answer from a receiver, 5 the job has not ended in time,
    130 interrupted.
    """
    context.obj = ((url or "").strip() or DEFAULT_URL, api_key)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
