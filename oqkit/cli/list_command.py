"""``oq list``: jobs by type, status and tags, or the tasks of a job."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.cli.argument import add_filters
from oqkit.cli.jobs_command import jobs_of
from oqkit.client.handle import Job
from oqkit.client.option import whole
from oqkit.client.queue import Queue
from oqkit.errors import UsageError
from oqkit.queue.key import task_id


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say which."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="list the tasks of this job, by its name or id")
    add_filters(parser)
    parser.add_argument("-n", "--limit", type=int, default=100, metavar="N", help="at most so many (default 100)")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """List jobs, newest first, or tasks by row."""
    now = queue.repository.now()
    if options.job is not None:
        if options.type or options.tags or options.since:
            raise UsageError("--type, --tag and --since choose among jobs; of the tasks of one, --status does")
        return _tasks(queue.job(options.job), status=options.status, limit=options.limit, now=now)
    return jobs_of(queue, options)


def _tasks(job: Job, *, status: str | None, limit: int, now: float) -> Table:
    frame = job.tasks(status).head(whole(limit, what="limit", low=1, high=10**9))
    frame.index = frame["row"].map(lambda row: task_id(job.id, row)).rename("task")
    return Table(frame=frame, now=now)
