"""``oq untag``: remove tags of a job."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer
from oqkit.cli.argument import add_by, add_job
from oqkit.cli.tag_command import changed
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, names of tags, and who says so."""
    add_job(parser)
    parser.add_argument("tags", nargs="+", metavar="NAME", help="the name of a tag")
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Remove them, and say which there are now."""
    return changed(queue, options.job, dict.fromkeys(options.tags), by=options.by)
