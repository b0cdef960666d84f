"""``oq jobs``: the newest jobs, of all or of those that are asked for."""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from oqkit.cli.answer import Answer, Table
from oqkit.cli.argument import add_filters, since_of, tags_of
from oqkit.client.queue import Queue
from oqkit.queue.transition import Status


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say which, and how many."""
    add_filters(parser)
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="how many (default 20)")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """List them, newest first."""
    return jobs_of(queue, options)


def jobs_of(queue: Queue, options: argparse.Namespace) -> Table:
    """Return the jobs that are asked for as a table; say so if there may be further ones that are as old as these, or older."""
    now = queue.repository.now()
    since = None if options.since is None else since_of(options.since, now=now)
    frame = queue.jobs(options.status, type=options.type, tags=tags_of(options.tags), since=since, limit=options.limit)
    if not frame.attrs["is_complete"]:
        sys.stderr.write(f"not all jobs were looked at: a larger --limit than {options.limit} looks further back\n")
    return _table_of_jobs(frame, now=now)


def _table_of_jobs(frame: pd.DataFrame, *, now: float) -> Table:
    """Text has the counts in one column."""
    statuses = [status.value for status in Status if status in frame]
    counts = [
        ", ".join(f"{n:,.0f} {status}" for status, n in zip(statuses, row, strict=True) if n > 0)
        for row in frame[statuses].itertuples(index=False)
    ]
    shown = frame.drop(columns=["tasks", *statuses])
    shown.insert(list(shown).index("created"), "tasks", counts)
    return Table(frame=frame, shown=shown, now=now)
