"""The receiver's settings, declared: each field says how it is read, its default and what it means."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from settings.readers import (
    count_between,
    one_of,
    read_base_url,
    read_keys,
    read_resubmit,
    read_seconds,
    read_secrets,
    read_switch,
    read_targets,
    read_text,
    read_url,
)
from settings.setting import Declared, Setting

NO_ENDPOINT = "none"
"""The value of NOTIFY_URL that removes its endpoint on purpose."""


def _read_notify_url(text: str) -> str:
    return text if text == NO_ENDPOINT else read_url(text)


class Settings(Declared, frozen=True, kw_only=True):
    """Every setting, checked; `providers` has the settings of each provider, by its name."""

    host: Annotated[
        str, Setting(read_text, help="Address to listen on. Default: `127.0.0.1`, or `0.0.0.0` when `PORT` is set.")
    ]
    port: Annotated[
        int,
        Setting(count_between(1, 65535), default="8000", help="Port to listen on, 1 to 65535. A PaaS sets it."),
    ]
    public_url: Annotated[
        str | None,
        Setting(
            read_base_url,
            help="Where providers reach this receiver, such as `https://hooks.example.com`. "
            "Set: jobs are submitted with a callback address under it. Unset: providers are only polled.",
        ),
    ]
    database_url: Annotated[
        str,
        Setting(
            read_text,
            default="sqlite:///data/renderhook.db",
            secret=True,
            help="An SQLite file: three slashes for a relative path, four for an absolute one; its folder is created. "
            "Or a Postgres database: `postgres://user:password@host:5432/name`, `postgresql://` as well, with "
            "[libpq's options](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING) after a "
            "`?`, such as `sslmode=verify-full`. Its encoding has to be UTF8. Several hosts and "
            "`target_session_attrs=read-write` follow a failover.",
        ),
    ]
    database_connections: Annotated[
        int,
        Setting(
            count_between(4, 1000),
            default="5",
            help="Postgres: the most connections of a process, at least 4; two of them are for its workers. "
            "One more listens for notifications.",
        ),
    ]
    database_timeout_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="1.5",
            help="Postgres: how long to wait for its answer before a request is answered 503.",
        ),
    ]
    workers: Annotated[
        bool,
        Setting(
            read_switch,
            default="1",
            help="`0`: this process only serves HTTP, and `python -m submitter work` submits, polls and delivers. "
            "Postgres only.",
        ),
    ]
    secret_key: Annotated[
        tuple[str, ...],
        Setting(
            read_keys,
            secret=True,
            many=True,
            help="**Required on a public address.** Signs callback addresses. At least 16 characters; several are "
            "comma-separated, newest first: the first signs, all are accepted. Keep an old one for as long as its "
            "callbacks may arrive.",
        ),
    ]
    api_key: Annotated[
        tuple[str, ...],
        Setting(
            read_keys,
            secret=True,
            many=True,
            help="**Required on a public address.** The bearer token of `/v1` and `/metrics`. At least 16 characters; "
            "several are comma-separated. Unset on loopback: `/v1` is open to this machine.",
        ),
    ]
    notify_url: Annotated[
        str | None,
        Setting(
            _read_notify_url,
            help="Receives the events of every job. After a change, pending deliveries go to the new URL; while it is "
            "unset, deliveries wait for it. `none` discards them and ends all this.",
        ),
    ]
    notify_secret: Annotated[
        tuple[bytes, ...],
        Setting(
            read_secrets,
            secret=True,
            many=True,
            help="Signs notifications: `whsec_` and the base64 of 24 to 64 random bytes. Several are comma-separated, "
            "and all sign. A job's `notify` needs it too.",
        ),
    ]
    notify_timeout_seconds: Annotated[
        float,
        Setting(read_seconds, default="15", help="For one attempt, from connecting to the end of the response."),
    ]
    notify_concurrency: Annotated[
        int,
        Setting(
            count_between(1, 1000),
            default="256",
            help="Endpoints delivered to at once, 1 to 1000. Each has 1 to 32 requests in flight, "
            "fewer while it fails.",
        ),
    ]
    notify_bytes_in_flight: Annotated[
        int,
        Setting(
            count_between(1 << 20, 1 << 34),
            default="33554432",
            help="Bytes of large notifications that are held at once, 1048576 to 17179869184. A body is large if its "
            "job's input and metadata have more than 8192 characters, or the job more than 16 outputs. It is held "
            "once, however many endpoints it is sent to.",
        ),
    ]
    allow_private_targets: Annotated[
        tuple[str, ...],
        Setting(
            read_targets,
            many=True,
            help="Host names, addresses or networks, comma-separated, that notifications may go to although their "
            "address is not public: `10.0.0.0/8,consumer.internal`.",
        ),
    ]
    resubmit_unconfirmed: Annotated[
        Literal["never"] | int,
        Setting(
            read_resubmit,
            default="never",
            help="What happens to an `unconfirmed` job. `never`: it is not submitted again. `after:` and whole "
            "seconds: it is submitted once more after so long. See [money](../explanation/money.md).",
        ),
    ]
    provider_timeout_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="30",
            help="For one request to a provider. Connecting may take half of it, at most 10 s.",
        ),
    ]
    provider_concurrency: Annotated[
        int,
        Setting(
            count_between(1, 1000), default="32", help="Submissions in flight at once, and as many polls, 1 to 1000."
        ),
    ]
    submit_timeout_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="3600",
            help='From accepting a job until a provider that answers "try later" or cannot be reached is given up: '
            "the job is then `failed`.",
        ),
    ]
    max_connections: Annotated[
        int,
        Setting(
            count_between(1, 100_000),
            default="1000",
            help="Connections at once. A new one takes the place of the one that has been idle longest; if none is "
            "idle, it is answered 503 with `Retry-After`.",
        ),
    ]
    keep_alive_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="3700",
            help="How long a connection may be idle between requests. Keep it longer than that of the proxy in front, "
            "which should be the side that closes: Caddy's is 2 minutes, Google Cloud's 10, Envoy's an hour.",
        ),
    ]
    max_body_bytes: Annotated[
        int,
        Setting(
            count_between(1024, 1 << 30),
            default="4194304",
            help="Longest body of a request to `/v1`, and of a provider's response to a submission, 1024 to "
            "1073741824. A longer request is answered 413; a longer response counts as unread.",
        ),
    ]
    max_result_bytes: Annotated[
        int,
        Setting(
            count_between(1024, 1 << 30),
            default="33554432",
            help="Longest callback, and longest response to a poll, 1024 to 1073741824. A longer callback is verified "
            "but not kept, and the job is polled; a job whose response is longer is `failed` with the code "
            "`result_too_long` and the URL of its result.",
        ),
    ]
    max_waiting_writes: Annotated[
        int,
        Setting(
            count_between(1, 1_000_000),
            default="10000",
            help="Writes that may wait for the database, 1 to 1000000. Beyond it, requests are answered 503.",
        ),
    ]
    stop_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="4",
            help="Grace period from SIGTERM or SIGINT for requests and tasks in progress. Then the process ends.",
        ),
    ]
    log_format: Annotated[
        str,
        Setting(
            one_of("json", "text"),
            default="text",
            help="`text` or `json`, one line an [event](events.md), on standard error.",
        ),
    ]
    log_level: Annotated[
        str,
        Setting(
            one_of("debug", "info", "warning", "error"),
            default="info",
            help="`debug`, `info`, `warning` or `error`.",
        ),
    ]
    providers: Mapping[str, Declared]

    @property
    def public(self) -> bool:
        """Whether other machines may reach this process."""
        return not is_loopback(self.host) or (
            self.public_url is not None and not is_loopback(urlsplit(self.public_url).hostname or "")
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches the host: `localhost`, or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
