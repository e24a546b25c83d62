"""Whether PUBLIC_URL and NOTIFY_URL are reached from here, asked once after the start. What is not is a warning."""

import socket
from urllib.parse import urlsplit

from outbound.clients import Clients
from outbound.targets import GuardedResolver, TargetRefused
from providers.http import NeverSent, Request, Response, Send, Unread
from receiver.setting_declarations import NO_ENDPOINT, Settings, is_loopback
from telemetry.emit import Emit


async def flag_unreachable(settings: Settings, clients: Clients, *, emit: Emit) -> None:
    """Emit `setting.flagged` for each URL that probably does not work. A loopback address is not asked."""
    public, notify = settings.public_url, settings.notify_url
    if public and not is_loopback(urlsplit(public).hostname or ""):
        fault = await why_unreachable(public, clients.poll)
        if fault is not None:
            emit("setting.flagged", setting="PUBLIC_URL", message=fault)
    if notify and notify != NO_ENDPOINT:
        fault = await why_unresolved(urlsplit(notify).hostname or "", GuardedResolver(clients.targets))
        if fault is not None:
            emit("setting.flagged", setting="NOTIFY_URL", message=fault)


async def why_unreachable(public_url: str, send: Send) -> str | None:
    """Return why providers may not reach this receiver at `public_url`, or None if a receiver answers there."""
    try:
        response = await send(Request(method="GET", url=f"{public_url}/healthz", headers={}))
    except (NeverSent, Unread) as error:
        return f"this machine does not reach it ({error}), and perhaps no provider does: check name, proxy, certificate"
    if 300 <= response.status < 400:
        return f"it redirects to {_origin(response)}, and providers follow no redirect: set it to the final address"
    if response.status != 200 or response.fields.get("status") != "alive":
        return f"what answers at its /healthz ({response.status}) is no receiver: check the proxy"
    return None


async def why_unresolved(host: str, resolver: GuardedResolver) -> str | None:
    """Return why no notification can be sent to a host, a name or an address, or None."""
    try:
        await resolver.resolve(host.strip("[]"), family=socket.AF_UNSPEC)
    except TargetRefused as error:
        return f"no notification will be sent there: {error}"
    except socket.gaierror as error:
        return f"its host is not found ({error.strerror})"
    finally:
        await resolver.close()
    return None


def _origin(response: Response) -> str:
    location = urlsplit(response.headers.get("location", ""))
    return f"{location.scheme}://{location.netloc}" if location.netloc else "another path"
