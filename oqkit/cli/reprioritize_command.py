"""``oq reprioritize``: give a job another priority."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job, priority_of
from oqkit.client.queue import Queue
from oqkit.queue.priority import PRIORITIES


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, a priority, and who says so."""
    add_job(parser)
    names = ", ".join(f"{name} {number}" for name, number in PRIORITIES.items())
    parser.add_argument("priority", metavar="PRIORITY", help=f"0 to 255, higher first, or a name: {names}")
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Change it, and say what it is now."""
    priority = queue.reprioritize(options.job, priority_of(options.priority), by=options.by)
    return Said(line=f"priority {priority}", facts={"job": options.job, "priority": priority})
