"""``oq workers``: who works here."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take nothing."""
    del parser


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Show a line for each worker that ever reported."""
    del options
    frame = queue.workers()
    columns = ["host", "pid", "types", "rows", "seen", "started", "stopped", "python", "refusals", "requests"]
    frame = frame[[*columns, *(name for name in frame if name not in columns)]]
    quiet = [] if frame["refusals"].astype("bool").any() else ["refusals"]
    return Table(frame=frame, shown=frame.drop(columns=[*quiet, "requests"]), now=queue.repository.now())
