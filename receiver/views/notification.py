"""How a notification reads: the body of each POST to an endpoint."""

import msgspec

from ledger.rows import Event, Job
from receiver.views.job import JobView, view_job_at
from receiver.views.times import rfc3339


class NotificationData(msgspec.Struct, frozen=True, kw_only=True):
    """What an event of a job is about: its number within the job, and the job as it was then."""

    sequence: int
    job: JobView


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """One event, for an endpoint. https://www.standardwebhooks.com"""

    type: str
    timestamp: str
    data: NotificationData


def view_notification(event: Event, job: Job) -> NotificationView:
    """Show an event of `job`: the same at every attempt."""
    data = NotificationData(sequence=event.sequence, job=view_job_at(job, event))
    return NotificationView(type=event.type, timestamp=rfc3339(event.at), data=data)
