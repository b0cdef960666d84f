"""``oq tag``: set tags of a job, or remove some."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job, tags_of
from oqkit.client.queue import Queue
from oqkit.printable import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a job, tags to set and to remove, and who says so."""
    add_job(parser)
    parser.add_argument("tags", nargs="*", metavar="NAME=VALUE", help="a tag to set")
    parser.add_argument(
        "--remove", action="append", default=[], metavar="NAME", help="a tag to remove; may be repeated"
    )
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Change them, and say which there are now."""
    given = tags_of(options.tags)
    job = queue.job(options.job)
    job.tag({**given, **dict.fromkeys(options.remove)}, by=options.by)
    tags = dict(job.tags)
    told = " ".join(f"{name}={value}" for name, value in tags.items())
    return Said(line=printable(told) or "no tags", facts={"job": options.job, "tags": tags})
