"""``oq errors``: what failed."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, and how its errors are shown."""
    add_job(parser)
    parser.add_argument(
        "--grouped", action="store_true", help="one line for all errors of a type that come from one line"
    )


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show one row a failed task, or one for each kind of error."""
    frame = queue.job(options.job).errors(grouped=options.grouped)
    shown = frame.drop(columns=["traceback", "task_id"], errors="ignore")
    return Table(frame=frame, shown=shown, now=queue.repository.now())
