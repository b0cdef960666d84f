"""``oq cancel``: cancel what has not ended."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Cancel a job, and say how many tasks that were."""
    n_tasks = queue.job(options.job).cancel()
    return Said(line=f"cancelled {n_tasks:,}", facts={"cancelled": n_tasks})
