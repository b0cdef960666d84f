"""``oq retry``: run what failed again."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job_or_tags, tags_of
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, or what jobs have in common, and who says so."""
    add_job_or_tags(parser)
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Put the failed tasks back, and say how many those are."""
    n_tasks = queue.retry(options.job, type=options.type, tags=tags_of(options.tags) or None, by=options.by)
    return Said(line=f"running {n_tasks:,} again", facts={"again": n_tasks})
