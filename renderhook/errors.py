"""How a command ends when it cannot do its work."""

from typing import IO, Any

import click


class CommandError(click.ClickException):
    """Ends the program with exit code 1 after printing each message to stderr as `renderhook: MESSAGE`."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the messages, one line each."""
        for message in self.message.splitlines():
            click.echo(f"renderhook: {message}", file=file, err=file is None)


class RequestError(CommandError):
    """Ends the program with exit code 2: the receiver refused a request, or did not answer in time."""

    exit_code = 2
