"""``oq resume``: end a pause."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_by, add_job_or_type
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what to resume, and who says so."""
    add_job_or_type(parser)
    add_by(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Resume it; exit with 1 if somebody paused it anew meanwhile."""
    is_over = True
    if options.job:
        queue.job(options.job).resume(by=options.by)
    else:
        is_over = queue.resume(type=options.type, by=options.by)
    line = "resumed" if is_over else "somebody paused it anew meanwhile, and that stands: see `oq status`"
    facts = {"resumed": is_over, "job": options.job, "type": options.type}
    return Said(line=line, facts=facts, code=0 if is_over else 1)
