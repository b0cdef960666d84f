"""What stays of a job that was deleted, in its place: for who may submit it once more, and for the jobs that depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from oqkit.errors import JobMissing, Missing
from oqkit.queue.job import Job
from oqkit.queue.transition import Status

DELETED = "deleted"
"""The feature of jobs that may be tombstones."""


def tombstone(job: Job, *, now: float, outcome: Iterable[Status], by: str = "") -> Job:
    """Return what takes the place of a job that is deleted: which one it was and how it ended, and nothing of what it was about."""
    return Job(
        id=job.id,
        type=job.type,
        n_tasks=0,
        part_rows=1,
        created=job.created,
        origin=job.origin,
        mode=job.mode,
        depends_on=job.depends_on,
        root=job.root,
        layout=job.layout,
        rev=job.rev,
        requires=tuple(dict.fromkeys((*job.requires, DELETED))),
        deleted=now,
        deleted_by=by,
        outcome=tuple(sorted(outcome)),
    )


@contextmanager
def named(job_id: str) -> Iterator[None]:
    """Say of a job object that is not there which job that is."""
    try:
        yield
    except JobMissing:
        raise
    except Missing:
        raise JobMissing(job_id) from None
