"""``oq signal``: send a value to tasks that wait for it."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job, json_value
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, the name of the signal, its value, and who sends it."""
    add_job(parser)
    parser.add_argument("name", metavar="NAME", help="the name of the signal")
    parser.add_argument("value", nargs="?", default="null", metavar="JSON", help="what it carries (default null)")
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Send it, and say so."""
    queue.job(options.job).signal(options.name, json_value(options.value, what="value"), by=options.by)
    return Said(line=f"sent {options.name}", facts={"job": options.job, "signal": options.name})
