"""Writes docs/reference/settings.md from the declarations: `make docs`, or `python -m receiver.settings_page`."""

import sys

import msgspec

from providers.registry import BUILT_IN, load
from receiver.setting_declarations import Settings
from settings.setting import Setting, declared

HEAD = """\
# Settings

<!-- Made by `make docs` from the declarations in the code: change those. -->

Settings are environment variables, read once at the start. All faults are reported together, and the process does not
start with any. An empty value is an unset one. `NAME_FILE` in place of any `NAME` names a file that holds the value, as
container secrets do (`SECRET_KEY_FILE=/run/secrets/key`); setting both is a fault, as is a value in quotation marks,
which `docker run --env-file` keeps. Names that end in `_SECONDS` are seconds; sizes are bytes. A setting that is marked
secret is never shown in logs, messages or metrics. What is probably not meant is logged at the start, as
[`setting.flagged`](../operations/respond-to-warnings.md#a-setting-that-is-probably-not-meant).

**Required on a public address**, which is one where `HOST` or the host of `PUBLIC_URL` is not loopback: `SECRET_KEY`
and `API_KEY`. `SECRET_KEY` is required with any `PUBLIC_URL`, and `NOTIFY_SECRET` with `NOTIFY_URL`.
"""

CLIENT = """\
## Commands

| Setting | Default | Meaning |
|---|---|---|
| `RENDERHOOK_URL` | `http://127.0.0.1:8000` | For commands that call the receiver: its address. |
"""


def settings_page() -> str:
    """Return the page of settings, in Markdown."""
    sections = [HEAD, f"## Receiver\n\n{_table(Settings)}"]
    sections += [
        f"## Provider `{provider.name}`\n\n{_table(provider.settings)}" for provider in load(BUILT_IN).values()
    ]
    return "\n".join([*sections, CLIENT])


def _table(kind: type[msgspec.Struct]) -> str:
    rows = [_row(name, setting) for name, setting in declared(kind).items()]
    return "\n".join(["| Setting | Default | Meaning |", "|---|---|---|", *rows, ""])


def _row(name: str, setting: Setting) -> str:
    default = "none" if setting.default is None else f"`{setting.default}`"
    return f"| `{name}`{' (secret)' if setting.secret else ''} | {default} | {setting.help} |"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
