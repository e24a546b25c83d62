"""Warnings that HeyGen is retiring, or has retired, the API in use."""

from collections.abc import Mapping
from typing import Any

from providers.heygen.failures import find_error
from providers.http import Response
from providers.reading import read_text

_REMEDY = "see what HEYGEN_API_URL should be now"


def sunset_warning(response: Response) -> str | None:
    """Return a sentence saying that the API in use is ending or gone; None when the response does not say so."""
    # v1 and v2 were announced to end on 2026-10-31. https://developers.heygen.com/endpoint-version-comparison
    if is_api_gone(response):
        return (
            f"HeyGen answered HTTP {response.status} as if this API did not exist; it may have been retired: {_REMEDY}"
        )
    found = _announcements(response)
    return f"HeyGen says that this API is ending ({'; '.join(found)}): {_REMEDY}" if found else None


def is_api_gone(response: Response) -> bool:
    """Return whether a 404 or 410 means that there is no API, rather than no such execution or avatar."""
    if response.status not in {404, 410}:
        return False
    if not isinstance(response.json, dict):
        return True
    return find_error(response.fields) is None and not {"data", "status"} & response.fields.keys()


def _announcements(response: Response) -> list[str]:
    found = []
    deprecation = read_text(response.headers.get("deprecation"), 100)
    if deprecation and deprecation.lower() not in {"false", "?0"}:
        found.append(f"Deprecation: {deprecation}")
    for name in ("sunset", "warning"):
        text = read_text(response.headers.get(name), 200)
        if text:
            found.append(f"{name.capitalize()}: {text}")
    warning = response.fields.get("warning")
    fields: Mapping[str, Any] = warning if isinstance(warning, dict) else {"message": warning}
    text = read_text(fields.get("message"), 200) or read_text(fields.get("code"), 200)
    return [*found, text] if text else found
