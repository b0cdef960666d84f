"""``oq errors``: what failed."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show one row a failed task."""
    frame = queue.job(options.job).errors()
    return Table(frame=frame, shown=frame.drop(columns=["traceback", "task_id"]), now=queue.repository.now())
