"""docs/reference/api.md is held against the application: its routes, and the bodies of its responses."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from providers.provider import CALLBACKS
from receiver.views.delivery import DeliveryDetail, DeliveryView, ReplayedView
from receiver.views.job import JobView
from receiver.views.notification import NotificationView
from receiver.views.pages import DeliveriesPage, EventsList, JobsPage, ReceiptsList
from receiver.views.problem import ProblemView
from receiver.views.status import StatusView
from receiver.web.app import App
from tests.receiver.harness import Receiver
from tests.receiver.test_receiver_app import routes_of

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/api.md").read_text("utf-8")


def routes(app: App) -> list[str]:
    """Every method and path of the application: that of callbacks, and those that Starlette routes."""
    return [f"POST {CALLBACKS}{{provider}}/{{token}}", *(" ".join(route) for route in routes_of(app))]


async def test_every_route_is_documented(receiver: Receiver) -> None:
    assert [route for route in routes(receiver.app) if f"`{route}`" not in PAGE] == []


async def test_every_documented_route_exists(receiver: Receiver) -> None:
    documented = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`?]*)`", PAGE)
    assert set(documented) - set(routes(receiver.app)) == set()


BODIES: tuple[type[msgspec.Struct], ...] = (
    *(JobView, JobsPage, EventsList, ReceiptsList, DeliveryDetail, DeliveryView, DeliveriesPage),
    *(NotificationView, ProblemView, ReplayedView, StatusView),
)
"""Every body that the receiver sends, the larger first."""


def documented_bodies() -> list[str]:
    """Return every JSON body of the page that the receiver sends, without those of requests and parts of bodies."""
    blocks = re.findall(r"^```(?:json|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    bodies = [block[block.index("{") :] for block in blocks if re.search(r"^\{$", block, re.MULTILINE)]
    return [body for body in bodies if not re.match(r'\{\s+"error": \{', body)]


@pytest.mark.parametrize("body", documented_bodies(), ids=lambda body: " ".join(body.split())[:40])
def test_a_documented_body_has_the_fields_of_its_struct_in_order(body: str) -> None:
    def in_order(text: str | bytes) -> object:
        return json.loads(text, object_pairs_hook=list)

    keys = set(json.loads(body))
    kind = next(kind for kind in BODIES if keys <= set(kind.__struct_fields__) and _required(kind) <= keys)
    assert in_order(msgspec.json.encode(msgspec.json.decode(body, type=kind))) == in_order(body)


def _required(kind: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required}
