"""``oq delete``: delete a job with its inputs and results."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, and whether what has not ended is to be cancelled."""
    parser.add_argument("job", metavar="JOB", help="its name or id, or that of its only task")
    parser.add_argument("--cancel", action="store_true", help="cancel what has not ended; else such a job is refused")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Delete it, and say so."""
    queue.job(options.job).delete(cancel=options.cancel)
    return Said(line=f"deleted {options.job}", facts={"deleted": options.job})
