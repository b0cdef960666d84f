"""``oq resume``: end a pause."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Resume a job."""
    queue.job(options.job).resume()
    return Said(line="resumed", facts={"resumed": options.job})
