"""``oq retry``: run what failed again."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Put the failed tasks of a job back, and say how many those are."""
    n_tasks = queue.job(options.job).retry()
    return Said(line=f"running {n_tasks:,} again", facts={"again": n_tasks})
