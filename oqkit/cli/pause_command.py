"""``oq pause``: let workers start no more tasks of the queue, of a type, or of a job."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job_or_type, add_reason
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to pause, for how long, why, and who says so."""
    add_job_or_type(parser)
    parser.add_argument("--for", dest="resume_after", metavar="TIME", help="resume after this time, such as 10m")
    add_reason(parser)
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Pause it, and say how to resume it."""
    given = {"reason": options.reason, "resume_after": options.resume_after, "by": options.by}
    if options.job:
        queue.job(options.job).pause(**given)
    else:
        queue.pause(type=options.type, **given)
    what = options.job or (f"--type {options.type}" if options.type else "")
    return Said(
        line=f"paused; `{f'oq resume {what}'.strip()}` goes on", facts={"paused": options.job, "type": options.type}
    )
