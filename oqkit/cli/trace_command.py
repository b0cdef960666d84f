"""``oq trace``: what a job waits for, and what comes of it."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue

arguments = add_job


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Draw the pipeline of a job."""
    trace = queue.trace(options.job)
    return Said(line=str(trace), facts=trace.to_json())
