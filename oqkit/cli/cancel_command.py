"""``oq cancel``: cancel what has not ended."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job, add_reason
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, why, and who says so."""
    add_job(parser)
    add_reason(parser)
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Cancel a job, and say how many tasks that were."""
    n_tasks = queue.job(options.job).cancel(reason=options.reason, by=options.by)
    return Said(line=f"cancelled {n_tasks:,}", facts={"cancelled": n_tasks})
