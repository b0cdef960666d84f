"""``oq jobs``: the newest jobs."""

from __future__ import annotations

import argparse

import pandas as pd

from oqkit.cli.answer import Answer, Table
from oqkit.client.queue import Queue
from oqkit.queue.transition import Status


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say how many."""
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="how many (default 20)")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """List them, newest first."""
    return table_of_jobs(queue.jobs(limit=options.limit), now=queue.repository.now())


def table_of_jobs(frame: pd.DataFrame, *, now: float) -> Table:
    """Return what `Queue.jobs` found as a table; text has the counts in one column."""
    statuses = [status.value for status in Status if status in frame]
    counts = [
        ", ".join(f"{n:,.0f} {status}" for status, n in zip(statuses, row, strict=True) if n > 0)
        for row in frame[statuses].itertuples(index=False)
    ]
    shown = frame.drop(columns=["tasks", *statuses])
    shown.insert(list(shown).index("created"), "tasks", counts)
    return Table(frame=frame, shown=shown, now=now)
