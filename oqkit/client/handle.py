"""The handle of a job: a view; the queue is the truth."""

from __future__ import annotations

from oqkit.client.job_collect import JobCollecting
from oqkit.client.job_debug import JobDebugging
from oqkit.client.job_export import JobExporting
from oqkit.client.job_steer import JobSteering
from oqkit.client.job_wait import JobWaiting


class Job(
    JobExporting,
    JobCollecting,
    JobWaiting,
    JobSteering,
    JobDebugging,
):
    """One submission. Get one from `submit_frame`, `map` or `oq.job(name)`; it can be made again any time."""
