"""`Queue`: what a person or program does with a queue. All verbs also exist as ``oq.<name>``."""

from __future__ import annotations

from oqkit.client.queue_find import JOB_COLUMNS, JOB_STATUSES, QueueFinding
from oqkit.client.queue_garbage import QueueCleaning
from oqkit.client.queue_gather import QueueGathering
from oqkit.client.queue_hook import QueueHooking
from oqkit.client.queue_order import QueueOrdering
from oqkit.client.queue_outbox import QueueOutbox
from oqkit.client.queue_reshard import QueueResharding
from oqkit.client.queue_retention import QueueRetention
from oqkit.client.queue_schedule import QueueScheduling
from oqkit.client.queue_schema import QueueSchemas
from oqkit.client.queue_steer import QueueSteering
from oqkit.client.queue_submit import OnDuplicate
from oqkit.client.queue_submit_many import QueueSubmittingMany
from oqkit.client.queue_trace import QueueTracing

__all__ = ["JOB_COLUMNS", "JOB_STATUSES", "OnDuplicate", "Queue"]


class Queue(
    QueueSubmittingMany,
    QueueSteering,
    QueueOrdering,
    QueueFinding,
    QueueTracing,
    QueueGathering,
    QueueOutbox,
    QueueScheduling,
    QueueSchemas,
    QueueHooking,
    QueueRetention,
    QueueCleaning,
    QueueResharding,
):
    """One queue, in a bucket or a directory. Get one from `oq.connect`."""

    def __repr__(self) -> str:
        return f"<oqkit queue {self.url}>"
