"""Arguments that several commands take, and how their texts are read."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from oqkit.errors import UsageError
from oqkit.task.function import seconds


def add_job(parser: argparse.ArgumentParser) -> None:
    """Take a job by its name or id."""
    parser.add_argument("job", metavar="JOB", help="its name or id")


def add_job_or_tags(parser: argparse.ArgumentParser) -> None:
    """Take a job or task, or all jobs of a type or with tags."""
    parser.add_argument("job", nargs="?", metavar="JOB", help="its name or id, or that of one of its tasks")
    parser.add_argument("--type", metavar="TYPE", help="all jobs of this type")
    add_tags(parser, help="all jobs with this tag; may be repeated, and then they have all of them")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Take that an order is not to be given."""
    parser.add_argument("--dry-run", action="store_true", help="change nothing: say how many tasks that would be")


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Take which jobs are to be listed."""
    parser.add_argument("-s", "--status", help="only those in it")
    parser.add_argument("-t", "--type", help="only jobs of this task type")
    add_tags(parser, help="only jobs with this tag; may be repeated")
    parser.add_argument("--since", metavar="TIME", help="only jobs submitted since then: 2h, or 2030-01-31T06:00+01:00")


def add_by(parser: argparse.ArgumentParser) -> None:
    """Take who gives an order."""
    parser.add_argument("--by", metavar="WHO", help="who gives the order, for its history (default: you)")


def add_reason(parser: argparse.ArgumentParser) -> None:
    """Take why an order is given."""
    parser.add_argument("--reason", metavar="TEXT", help="why, for its history and for whoever waits")


def add_task(parser: argparse.ArgumentParser) -> None:
    """Take a task by its id."""
    parser.add_argument("task", metavar="TASK", help="its id: the job's id, a dot, and the row")


def add_tags(parser: argparse.ArgumentParser, *, help: str) -> None:  # noqa: A002 - as argparse calls it
    """Take tags as ``--tag NAME=VALUE``, as often as there are."""
    parser.add_argument("--tag", action="append", default=[], dest="tags", metavar="NAME=VALUE", help=help)


def tags_of(texts: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` texts, or raise `UsageError`."""
    pairs = [text.partition("=") for text in texts]
    for name, separator, value in pairs:
        if not (name and separator):
            raise UsageError(f"{name + separator + value!r} is no tag: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


def priority_of(text: str) -> int | str:
    """Read a priority: a number, or a name."""
    return int(text) if text.isdecimal() else text


def moment_of(text: str, *, what: str) -> datetime:
    """Read a moment in ISO 8601 that has a time zone, or raise `UsageError`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise UsageError(f"{what} {text!r}: write a moment with its time zone, such as 2030-01-31T06:00+01:00")
    return at


def since_of(text: str, *, now: float) -> float:
    """Read a moment, or how long ago it was (``"2h"``); return epoch seconds."""
    try:
        return now - seconds(text, what="--since")
    except UsageError:
        return moment_of(text, what="--since").timestamp()


def json_value(text: str, *, what: str) -> Any:
    """Read JSON, or raise `UsageError`."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{what} {text!r:.80} is no JSON: {error}. In a shell, quote it: '{{\"x\": 1}}'") from None


def add_job_or_type(parser: argparse.ArgumentParser) -> None:
    """Take a job or a task type; neither is the whole queue."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("job", nargs="?", metavar="JOB", help="its name or id (default: the whole queue)")
    one.add_argument("--type", metavar="TYPE", help="all tasks of this type")
