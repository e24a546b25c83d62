"""What is probably not meant in the settings. It stops no start: each is logged as a warning, with what to do."""

import difflib
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from outbound.targets import TargetRefused, Targets
from receiver.setting_declarations import Settings, is_loopback
from settings.setting import declared

SIMILARITY = 0.85
"""How alike a variable's name and a setting's have to be: FALKEY and FAL_KEY are, DATABASE_POOL_URL is another's."""

SHORTEST_NAME = 6
"""Characters. Shorter names, such as HOST, resemble those of other programs."""


def setting_warnings(
    settings: Settings, variables: Collection[str], accounts: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that is probably not meant, and what to do.

    `variables` are the names in the environment, `accounts` the providers that jobs can be submitted to.
    """
    yield from _unknown(settings, variables)
    if not accounts:
        names = " or ".join(name for kind in settings.providers.values() for name in _keys(type(kind)))
        yield names, "no provider has a key, so every job is refused: set one"
    if not settings.api_key:
        yield "API_KEY", "not set: /v1 answers only direct requests from this machine. With a proxy in front, set it"
    if settings.public_url and not is_loopback(urlsplit(settings.public_url).hostname or ""):
        yield from _of_public_url(settings.public_url)


def _of_public_url(url: str) -> Iterator[tuple[str, str]]:
    if url.startswith("http:"):
        yield (
            "PUBLIC_URL",
            "begins with http: callbacks arrive unencrypted, and where the host redirects to https, none arrives. "
            "Write https if it has a certificate",
        )
    try:
        Targets(()).check_host(urlsplit(url).hostname or "")
    except TargetRefused:
        yield "PUBLIC_URL", "not a public address, so no provider can call back: unset it, and jobs are polled"


def _unknown(settings: Settings, variables: Collection[str]) -> Iterator[tuple[str, str]]:
    kinds = [type(settings), *map(type, settings.providers.values())]
    known = {name for kind in kinds for name in declared(kind)} | {"RENDERHOOK_URL"}
    ours = tuple(f"{name.upper()}_" for name in (*settings.providers, "notify", "renderhook"))
    for variable in sorted(variables):
        name = variable.upper()
        if {variable, variable.removesuffix("_FILE")} & known:
            continue
        similar = difflib.get_close_matches(name.removesuffix("_FILE"), known, n=1, cutoff=SIMILARITY)
        if similar and len(name) >= SHORTEST_NAME:
            yield variable, f"not a setting, and ignored: is {similar[0]} meant?"
        elif name.startswith(ours):
            yield variable, "not a setting, and ignored: docs/reference/settings.md lists them"


def _keys(kind: type) -> list[str]:
    return [name for name, setting in declared(kind).items() if setting.secret and name.endswith("_KEY")]
