"""The command that runs the sandbox."""

import click

from sandbox.app import create_app
from sandbox.faults import FAULTS, UnknownFaultError, parse_faults
from sandbox.options import Options
from sandbox.serving import serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, help="0 takes a free port.")
@click.option("--user-id", default=Options.user_id, show_default=True, help="The fal account that callbacks name.")
@click.option("--key-seed", metavar="HEX", help="64 hexadecimal digits that determine the first signing key.")
@click.option("--render-seconds", default=Options.render_seconds, show_default=True)
@click.option("--retry-seconds", default=Options.retry_seconds, show_default=True, help="Doubles, up to 5.")
@click.option("--max-retries", default=Options.max_retries, show_default=True)
@click.option("--fault", "fault", metavar="NAMES", default="", help="Faults of all jobs, such as late,5xx=1.")
@click.option("--faults", "list_faults", is_flag=True, help="List the faults and exit.")
def main(
    *,
    host: str,
    port: int,
    user_id: str,
    key_seed: str | None,
    render_seconds: float,
    retry_seconds: float,
    max_retries: int,
    fault: str,
    list_faults: bool,
) -> None:
    """Run simulated providers: fal under /fal and HeyGen under /heygen.

    A fragment of any URL in a job's input requests faults: https://example.com/a.mp4#fault=duplicate,slow=3
    """
    if list_faults:
        width = max(map(len, FAULTS))
        for name, description in FAULTS.items():
            click.echo(f"{name:<{width}}  {description}")
        return
    options = Options(
        user_id=user_id,
        key_seed=_parse_seed(key_seed),
        render_seconds=render_seconds,
        retry_seconds=retry_seconds,
        max_retries=max_retries,
        faults=_check_faults(fault),
    )
    serve(create_app(options), "sandbox", host, port)


def _parse_seed(text: str | None) -> bytes | None:
    if not text:
        return None
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise click.BadParameter("64 hexadecimal digits are needed", param_hint="--key-seed")
    return seed


def _check_faults(faults: str) -> str:
    try:
        parse_faults(faults)
    except UnknownFaultError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
    return faults
