"""The verbs of `Queue` that give orders."""

from __future__ import annotations

from oqkit.client.handle import Job
from oqkit.client.queue_find import QueueFinding
from oqkit.queue.priority import priority_of


class QueueSteering(QueueFinding):
    """Changes what becomes of jobs that are there."""

    def reprioritize(self, job: Job | str, priority: int | str, *, by: str | None = None) -> int:
        """Give a job (or the one of that name or id) another priority, and return it as a number; see `Job.reprioritize`."""
        chosen = priority_of(priority)
        (self.job(job) if isinstance(job, str) else job).reprioritize(chosen, by=by)
        return chosen
