"""Notifications as JSON: the body of each POST to an endpoint."""

from typing import Any

import msgspec

from ledger.rows import Event, Job
from receiver.views.job import JobView, view_job_at
from receiver.views.times import rfc3339


class NotificationData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sequence number of an event, and its subject.

    A job is shown as it was at the event. For any other subject it is the data of the event.
    """

    sequence: int
    job: JobView | msgspec.UnsetType = msgspec.UNSET
    run: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    endpoint: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """One event, for an endpoint. https://www.standardwebhooks.com"""

    type: str
    timestamp: str
    data: NotificationData


def view_notification(event: Event, subject_kind: str, job: Job | None) -> NotificationView:
    """Show an event of `job`, or of another kind of subject: the same at every attempt."""
    about = msgspec.Raw((event.data or "null").encode()) if job is None else view_job_at(job, event)
    subject: dict[str, Any] = {subject_kind: about}
    data = NotificationData(sequence=event.sequence, **subject)
    return NotificationView(type=event.type, timestamp=rfc3339(event.at), data=data)
