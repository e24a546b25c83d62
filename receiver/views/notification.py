"""How a notification reads: the body of each POST to an endpoint."""

from typing import Any

import msgspec

from ledger.rows import Event, Job
from receiver.views.job import JobView, view_job_at
from receiver.views.times import rfc3339


class JobNotificationData(msgspec.Struct, frozen=True, kw_only=True):
    """What an event of a job is about: its number within the job, and the job as it was then."""

    sequence: int
    job: JobView


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """One event, for an endpoint. https://www.standardwebhooks.com

    `data` has the number of the event within its subject, and the event's own data under the subject's word.
    """

    type: str
    timestamp: str
    data: JobNotificationData | dict[str, Any]


def view_notification(event: Event, subject_kind: str, job: Job | None) -> NotificationView:
    """Show an event of `job`, or of another kind of subject: the same at every attempt."""
    data: JobNotificationData | dict[str, Any]
    if job is None:
        data = {"sequence": event.sequence, subject_kind: msgspec.Raw((event.data or "null").encode())}
    else:
        data = JobNotificationData(sequence=event.sequence, job=view_job_at(job, event))
    return NotificationView(type=event.type, timestamp=rfc3339(event.at), data=data)
