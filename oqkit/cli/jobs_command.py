"""``oq jobs``: the newest jobs."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how many."""
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="how many (default 20)")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """List them, newest first."""
    frame = queue.jobs(limit=options.limit)
    rare = [name for name in ("cancelled", "expired") if not frame[name].any()]
    return Table(frame=frame.drop(columns=rare), now=queue.repository.now())
