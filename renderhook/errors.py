"""How a command ends when it cannot do its work: one line for each message, and an exit code for each kind."""

from typing import IO, Any

import click

INTERRUPTED = 130
"""The exit code after ctrl-C, as of a program that SIGINT ends."""

READER_GONE = 141
"""The exit code when what reads the output has gone (`| head -1`), as of a program that SIGPIPE ends."""


class CommandError(click.ClickException):
    """Ends the program with exit code 1 after printing each message to stderr as `renderhook: MESSAGE`."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the messages, one line each."""
        for message in self.message.splitlines():
            click.echo(f"renderhook: {message}", file=file, err=file is None)


class RequestError(CommandError):
    """Ends the program with exit code 2: the request cannot be sent as it is."""

    exit_code = 2


class RefusedError(RequestError):
    """Ends the program with exit code 3: the receiver refused the request."""

    exit_code = 3


class UnansweredError(RequestError):
    """Ends the program with exit code 4: no receiver answered. The same request may be answered later if `may_pass`."""

    exit_code = 4

    def __init__(self, *messages: str, may_pass: bool = True) -> None:
        super().__init__(*messages)
        self.may_pass = may_pass


class NotEndedError(RequestError):
    """Ends the program with exit code 5: the job has not ended in the time allowed."""

    exit_code = 5
