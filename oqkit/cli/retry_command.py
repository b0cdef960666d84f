"""``oq retry``: run what failed again."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, and who says so."""
    add_job(parser)
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Put the failed tasks of a job back, and say how many those are."""
    n_tasks = queue.job(options.job).retry(by=options.by)
    return Said(line=f"running {n_tasks:,} again", facts={"again": n_tasks})
