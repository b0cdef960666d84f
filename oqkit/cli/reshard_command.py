"""``oq reshard``: spread what is submitted from now on over another number of shards."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the number of shards."""
    parser.add_argument("shards", type=int, metavar="N", help="how many shards, from 1 to 4096")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Do it, and show the numbers of shards that the queue has had."""
    return Table(frame=queue.reshard(options.shards, dry_run=options.dry_run), now=queue.repository.now())
