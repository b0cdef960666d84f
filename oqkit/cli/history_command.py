"""``oq history``: what happened to a task."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.cli.argument import add_task
from oqkit.client.queue import Queue

arguments = add_task


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show a line a step, oldest first."""
    return Table(frame=queue.history(options.task).set_index("at"), now=queue.repository.now())
