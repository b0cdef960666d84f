"""``oq retry``: run what failed again."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer
from oqkit.cli.argument import add_by, add_dry_run, add_job_or_tags, tags_of
from oqkit.cli.order import said_of
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, or what jobs have in common, and who says so."""
    add_job_or_tags(parser)
    add_by(parser)
    add_dry_run(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Put the failed tasks back, and say how many those are."""
    tags = tags_of(options.tags) or None
    found = queue.retry(options.job, type=options.type, tags=tags, by=options.by, dry_run=options.dry_run)
    said = f"would run {found:,} again" if options.dry_run else f"running {found:,} again"
    return said_of(found, line=said, name="again")
