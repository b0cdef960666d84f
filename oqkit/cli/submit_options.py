"""The options of a submission, which all commands that submit take."""

from __future__ import annotations

import argparse
from typing import Any

from oqkit.cli.argument import add_tags, moment_of, priority_of, tags_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say when, how and how often it is to be run."""
    parser.add_argument("--delay", metavar="S", help="not to be started before this time has passed: seconds, 5m, 2h")
    parser.add_argument("--at", metavar="TIME", help="not to be started before: 2030-01-31T06:00+01:00")
    parser.add_argument("--ttl", metavar="S", help="what has not started after this time expires: seconds, 5m, 2h")
    parser.add_argument(
        "--expires-at", metavar="TIME", help="what has not started then expires: 2030-01-31T06:00+01:00"
    )
    parser.add_argument(
        "--priority", type=priority_of, metavar="N", help="0 to 255, higher first, or a name (default normal)"
    )
    parser.add_argument(
        "--payload",
        type=lambda text: int(text) if text.isdecimal() else text,
        default="auto",
        metavar="WHERE",
        help="where the input is kept: inline, reference, or auto (default), which decides by its size; or a limit in bytes",
    )
    parser.add_argument("--retries", type=int, metavar="N", help="how many errors it survives (default 3)")
    parser.add_argument(
        "--keep", metavar="S", help="how long the job stays once it has ended: 12h, 7d (default: for ever)"
    )
    parser.add_argument("--timeout", metavar="S", help="the longest that one call may take: seconds, 5m, 2h")
    parser.add_argument(
        "--depends-on",
        action="append",
        metavar="JOB",
        help="not to be started before this job has ended: its name or id; may be repeated",
    )
    parser.add_argument(
        "--on-failure",
        choices=("fail", "skip", "run"),
        help="what to do if one of those does not complete (default fail)",
    )
    parser.add_argument(
        "--schema", choices=("published",), help="check inputs and results by the published schema of the task type"
    )
    parser.add_argument(
        "--rate-limit", metavar="RATE", help="how many calls may start, over all workers: 10/s, 100/min, '100/min NAME'"
    )
    parser.add_argument("--max-concurrency", type=int, metavar="N", help="how many may run at once, over all workers")
    parser.add_argument("--max-pending", type=int, metavar="N", help="not to be submitted while so many are open")
    parser.add_argument("--on-full", choices=("raise", "wait"), help="what to do then (default raise, an error)")
    add_tags(parser, help="a tag of the job; may be repeated")


def chosen_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return them as the queue takes them."""
    chosen: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("payload", "priority", "retries", "depends_on", "on_failure", "schema")
    }
    chosen |= {name: getattr(options, name) for name in ("rate_limit", "max_concurrency", "max_pending", "on_full")}
    chosen |= {name: length_of(getattr(options, name)) for name in ("delay", "ttl", "timeout", "keep")}
    for name in ("at", "expires_at"):
        text = getattr(options, name)
        chosen[name] = None if text is None else moment_of(text, what=f"--{name.replace('_', '-')}")
    return {**chosen, "tags": tags_of(options.tags) or None}


def length_of(text: str | None) -> float | str | None:
    """Return seconds without a unit as a number, and what has one for the queue to read."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
