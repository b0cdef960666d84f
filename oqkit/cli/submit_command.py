"""``oq submit``: submit one call."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import json_value
from oqkit.cli.submit_options import add_options, chosen_options, length_of
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what is called, with what, and how."""
    parser.add_argument("type", metavar="TYPE", help="the task type: the function's name, as workers know it")
    parser.add_argument(
        "input", nargs="?", default="null", metavar="JSON", help="what it is called with (default null)"
    )
    parser.add_argument("--key", help="submit it once, however often this runs")
    parser.add_argument(
        "--scope", default="type", help="what the key counts for: type (default), queue, or a name of your own"
    )
    parser.add_argument("--key-ttl", metavar="S", help="how long the key counts: seconds, 5m, 2h (default: for ever)")
    add_options(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Submit it, and say its id."""
    key = {"key": options.key, "scope": options.scope, "key_ttl": length_of(options.key_ttl)}
    task = queue.submit(options.type, json_value(options.input, what="input"), **key, **chosen_options(options))
    return Said(line=task.id, facts={"task": task.id, "job": task.job.id})
