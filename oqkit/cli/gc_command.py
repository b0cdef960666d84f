"""``oq gc``: remove what nobody needs any more."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how old jobs are that are to go."""
    parser.add_argument("--older-than", metavar="TIME", help="also jobs that ended so long ago, such as 30d")
    parser.add_argument("--dry-run", action="store_true", help="only show what there is")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Remove it, and show what it was."""
    found = queue.gc(options.older_than, dry_run=options.dry_run)
    return Table(frame=found, now=queue.repository.now())
