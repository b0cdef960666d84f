"""``oq submit-many``: submit many calls, of any task types."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from oqkit.cli.answer import Answer, Said
from oqkit.cli.argument import json_value
from oqkit.cli.submit_options import add_options, chosen_options
from oqkit.cli.terminal import complain
from oqkit.client.queue import Queue
from oqkit.errors import PartlySubmitted, UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say where the calls are, and how all of them are run."""
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help='a call a line, ["TYPE", INPUT] (default: the standard input)',
    )
    add_options(parser)


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Submit them, and say their ids, in order; where it fails half-way, a dash for each that is not stored."""
    code = 0
    try:
        tasks: Iterable[Any] = queue.submit_many(list(_calls(options.file)), **chosen_options(options))
    except PartlySubmitted as error:
        complain(error)
        tasks, code = error.tasks, 1
    ids = [None if task is None else task.id for task in tasks]
    return Said(line="\n".join(task_id or "-" for task_id in ids) or "none", facts={"tasks": ids}, code=code)


def _calls(file: str) -> Iterator[Any]:
    try:
        lines = (sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")).splitlines()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield json_value(line, what=f"line {number},")
