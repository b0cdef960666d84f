"""``oq cancel``: cancel what has not ended."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer
from oqkit.cli.argument import add_by, add_dry_run, add_job_or_tags, add_reason, tags_of
from oqkit.cli.order import said_of
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, or what jobs have in common, why, and who says so."""
    add_job_or_tags(parser)
    add_reason(parser)
    add_by(parser)
    add_dry_run(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Cancel it, and say how many tasks that were."""
    tags = tags_of(options.tags) or None
    found = queue.cancel(
        options.job, type=options.type, tags=tags, reason=options.reason, by=options.by, dry_run=options.dry_run
    )
    said = f"would cancel {found:,}" if options.dry_run else f"cancelled {found:,}"
    return said_of(found, line=said, name="cancelled")
