"""Requests to a running receiver's HTTP API."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import sleep
from typing import Any
from urllib.parse import quote

import httpx

from renderhook.errors import RefusedError, RequestError, UnansweredError

_READ_PAUSES = (1.0, 1.0)
_CREATE_PAUSES = (1.0, 2.0, 4.0)
"""Seconds between the attempts of a request: a creation outlasts the restart of a receiver."""
_TIMEOUT_SECONDS = 30.0
_LONGEST_PAGE = 200
_JOB = frozenset({"id", "state", "outputs", "error"})
_PAGE = frozenset({"jobs", "next_cursor"})
_PASSING = frozenset({502, 503, 504})
"""Responses of a gateway or a receiver that starts: the same request may be answered later."""


class ReceiverClient:
    """Sends requests to the receiver at `url`.

    A request is repeated when the receiver cannot be reached or answers 502, 503 or 504. Every method raises
    RefusedError when the receiver refuses, UnansweredError when there is no usable response.
    """

    def __init__(self, url: str, api_key: str, api_key_option: str = "--api-key") -> None:
        self._url = url.rstrip("/")
        _check_header_text(api_key_option, api_key)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}

    def create_job(
        self, body: Mapping[str, Any], idempotency_key: str, *, retrying: Callable[[str], None]
    ) -> dict[str, Any]:
        """Create a job. With the same key again, the receiver returns the job that it has.

        `retrying` is called before each repetition, with the reason.
        """
        _check_header_text("--idempotency-key", idempotency_key)
        headers = {"Idempotency-Key": idempotency_key}
        return self._request(
            "POST", "/v1/jobs", _JOB, pauses=_CREATE_PAUSES, retrying=retrying, json=body, headers=headers
        )

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
        pauses: Sequence[float] = _READ_PAUSES,
        retrying: Callable[[str], None] = lambda _: None,
        **content: Any,
    ) -> dict[str, Any]:
        for pause in pauses:
            try:
                return _read(self._send(method, path, **content), fields)
            except UnansweredError as error:
                if not error.may_pass:
                    raise
                retrying(error.message)
            sleep(pause)
        return _read(self._send(method, path, **content), fields)

    def _send(self, method: str, path: str, headers: Mapping[str, str] | None = None, **content: Any) -> httpx.Response:
        headers = self._headers | dict(headers or {})
        try:
            return httpx.request(
                method, self._url + path, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False, **content
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fault = f"no receiver answers at {_shown(self._url)} ({error}); start one, or set RENDERHOOK_URL"
            may_pass = not isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
            raise UnansweredError(fault, may_pass=may_pass) from None
        except ValueError as error:  # JSON cannot hold a number
            raise RequestError(f"this cannot be sent: {error}") from None


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
    status, passing = response.status_code, response.status_code in _PASSING
    if isinstance(body, dict) and response.is_success and fields <= body.keys():
        return body
    if isinstance(body, dict) and not response.is_success and "detail" in body:
        if response.is_client_error:
            raise RefusedError(f"{status}: {body['detail']}")
        raise UnansweredError(f"{status}: {body['detail']}", may_pass=passing)
    fault = "a gateway answered" if passing else "this is not a receiver's response; is RENDERHOOK_URL right?"
    raise UnansweredError(f"{status}: {fault}", may_pass=passing)
