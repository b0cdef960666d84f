"""``oq gather``: submit one call on the results of others."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what is called, and with whose results."""
    parser.add_argument("type", metavar="TYPE", help="the task type: the function's name, as workers know it")
    parser.add_argument(
        "jobs", nargs="+", metavar="JOB", help="whose results it is called with: ids of tasks, ids or names of jobs"
    )
    parser.add_argument(
        "--on-failure",
        choices=("fail", "skip", "run"),
        help="what to do if one of them does not complete (default fail)",
    )
    parser.add_argument("--key", help="submit it once, however often this runs")


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Submit it, and say its id."""
    task = queue.gather(options.jobs, options.type, key=options.key, on_failure=options.on_failure)
    return Said(line=task.id, facts={"task": task.id, "job": task.job.id})
