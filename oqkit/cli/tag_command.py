"""``oq tag``: set tags of a job, or remove some."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

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
    wanted = {**tags_of(options.tags), **dict.fromkeys(options.remove)}
    return changed(queue, options.job, wanted, by=options.by)


def changed(queue: Queue, name: str, wanted: Mapping[str, str | None], *, by: str | None) -> Answer:
    """Change tags of a job; return which there are now."""
    job = queue.job(name)
    job.tag(wanted, by=by)
    tags = dict(job.tags)
    told = " ".join(f"{name}={value}" for name, value in tags.items())
    return Said(line=printable(told) or "no tags", facts={"job": name, "tags": tags})
