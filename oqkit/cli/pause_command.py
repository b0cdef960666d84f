"""``oq pause``: let workers start no more of a job's tasks."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Pause a job, and say how to resume it."""
    queue.job(options.job).pause()
    return Said(line=f"paused; `oq resume {options.job}` goes on", facts={"paused": options.job})
