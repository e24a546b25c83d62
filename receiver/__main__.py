"""`python -m receiver`: serve, or say in one line why not."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click

from ledger.errors import LedgerError
from receiver.settings import Settings, SettingsError, read_settings


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
def migrate() -> None:
    """Bring the ledger's schema up to date, and stop. Serving does the same at its start."""
    settings = _settings()
    from receiver import process  # noqa: PLC0415 - the web stack again, only for this command

    async def open_and_close(settings: Settings) -> None:
        store = await process.open_ledger(settings)
        await store.close()
        click.echo("the ledger is up to date")

    _run(open_and_close, settings)


def _settings() -> Settings:
    from receiver.facts import configure_logs  # noqa: PLC0415 - `--help` writes no log

    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _refuse(*error.faults)
    configure_logs(settings.log_format, settings.log_level)
    return settings


def _run(action: Callable[[Settings], Coroutine[Any, Any, None]], settings: Settings) -> None:
    from receiver.listening import CannotListen  # noqa: PLC0415 - brings uvicorn, which `--help` does not need

    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(action(settings))
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
