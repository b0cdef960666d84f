"""``oq jobs``: the newest jobs."""

from __future__ import annotations

import argparse

import pandas as pd

from oqkit.cli.answer import Answer, Table
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how many."""
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="how many (default 20)")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """List them, newest first."""
    return table_of_jobs(queue.jobs(limit=options.limit), now=queue.repository.now())


def table_of_jobs(frame: pd.DataFrame, *, now: float) -> Table:
    """Return what `Queue.jobs` found as a table, without the statuses that are rare and that none is in."""
    rare = [name for name in ("blocked", "cancelled", "expired") if name in frame and not frame[name].any()]
    return Table(frame=frame, now=now, details=rare)
