"""Noticing that HeyGen is closing, or has closed, the API in use."""

from collections.abc import Mapping
from typing import Any

from providers.heygen.failures import find_complaint
from providers.http import Response
from providers.reading import read_mapping, read_text

_REMEDY = "see what HEYGEN_API_URL should be now"


def sunset_warning(answer: Response) -> str | None:
    """Say in a plain sentence that the API in use is ending or gone; None when nothing says so."""
    # v1 and v2 were announced to end on 2026-10-31. https://developers.heygen.com/endpoint-version-comparison
    if api_gone(answer):
        return f"HeyGen answered HTTP {answer.status} as if this API did not exist; it may have been retired: {_REMEDY}"
    said = _announcements(answer)
    return f"HeyGen says that this API is ending ({'; '.join(said)}): {_REMEDY}" if said else None


def api_gone(answer: Response) -> bool:
    """Tell whether a 404 or 410 comes from where no API is, rather than from one that lacks the thing asked for."""
    if answer.status not in {404, 410}:
        return False
    told = read_mapping(answer.body)
    return told is None or (find_complaint(told) is None and not {"data", "status"} & told.keys())


def _announcements(answer: Response) -> list[str]:
    said = []
    deprecation = read_text(answer.headers.get("deprecation"), 100)
    if deprecation and deprecation.lower() not in {"false", "?0"}:
        said.append(f"Deprecation: {deprecation}")
    for name in ("sunset", "warning"):
        text = read_text(answer.headers.get(name), 200)
        if text:
            said.append(f"{name.capitalize()}: {text}")
    warning = (read_mapping(answer.body) or {}).get("warning")
    told: Mapping[str, Any] = warning if isinstance(warning, dict) else {"message": warning}
    text = read_text(told.get("message"), 200) or read_text(told.get("code"), 200)
    return [*said, text] if text else said
