"""Requests to a running receiver's HTTP API."""

import re
from collections.abc import Iterator, Mapping
from time import sleep
from typing import Any
from urllib.parse import quote

import httpx

from renderhook.errors import RequestError

_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0
_LONGEST_PAGE = 200
_JOB = frozenset({"id", "state", "outputs", "error"})
_PAGE = frozenset({"jobs", "next_cursor"})


class ReceiverClient:
    """Sends requests to the receiver at `url`.

    A request is repeated when the receiver cannot be reached or answers 503, three attempts in all. Every method
    raises RequestError when the receiver refuses, or gives no usable response.
    """

    def __init__(self, url: str, api_key: str, api_key_option: str = "--api-key") -> None:
        self._url = url.rstrip("/")
        _check_header_text(api_key_option, api_key)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def create_job(self, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        """Create a job. With the same key again, the receiver returns the job that it has."""
        _check_header_text("--idempotency-key", idempotency_key)
        return self._request("POST", "/v1/jobs", _JOB, json=body, headers={"Idempotency-Key": idempotency_key})

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as GET /v1/jobs/{id} has it."""
        return self._request("GET", f"/v1/jobs/{quote(job_id, safe='')}", _JOB)

    def jobs(self, limit: int, **filters: str | None) -> Iterator[dict[str, Any]]:
        """Yield at most `limit` jobs, newest first, page by page."""
        given: dict[str, Any] = {name: value for name, value in filters.items() if value}
        while limit > 0:
            page = self._request("GET", "/v1/jobs", _PAGE, params=given | {"limit": min(limit, _LONGEST_PAGE)})
            yield from page["jobs"]
            limit -= len(page["jobs"])
            if not page["next_cursor"]:
                return
            given["cursor"] = page["next_cursor"]

    def _request(
        self,
        method: str,
        path: str,
        fields: frozenset[str],
        *,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> dict[str, Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = httpx.request(
                    method,
                    self._url + path,
                    headers=self._headers | dict(headers or {}),
                    timeout=_TIMEOUT_SECONDS,
                    trust_env=False,
                    **content,
                )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if attempt == _ATTEMPTS or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                    fault = f"no receiver answers at {_shown(self._url)} ({error}); start one, or set RENDERHOOK_URL"
                    raise RequestError(fault) from None
            except ValueError as error:  # JSON cannot hold a number
                raise RequestError(f"this cannot be sent: {error}") from None
            else:
                if response.status_code != 503 or attempt == _ATTEMPTS:
                    return _read(response, fields)
            sleep(_PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")


def _check_header_text(option: str, text: str) -> None:
    """Raise RequestError unless a header can hold the text. The message names the option, and never has the text."""
    if not (text.isascii() and text.isprintable()):
        raise RequestError(f"{option}: must be one line of printable ASCII characters")


def _shown(url: str) -> str:
    """Return a URL on one line, without user and password."""
    printable = "".join(char if char.isprintable() else "?" for char in url)
    return re.sub(r"(?<=//)[^/?#]*@", "***@", printable)


def _read(response: httpx.Response, fields: frozenset[str]) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and response.is_success and fields <= body.keys():
        return body
    if isinstance(body, dict) and not response.is_success and "detail" in body:
        fault = str(body["detail"])
    else:
        fault = "this is not a receiver's response; is RENDERHOOK_URL right?"
    raise RequestError(f"{response.status_code}: {fault}")
