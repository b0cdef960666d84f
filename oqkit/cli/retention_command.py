"""``oq retention``: for how long a versioned bucket keeps earlier versions."""

from __future__ import annotations

import argparse

from oqkit.cli.answer import Answer, Table
from oqkit.cli.parser import subcommands
from oqkit.client.queue import Queue


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take whether to show it or to set it."""
    add = subcommands(parser)
    add("show", _show, help="show for how many days earlier versions are kept")
    apply = add("apply", _apply, help="have earlier versions removed after so many days")
    apply.add_argument("--days", type=int, metavar="N", required=True, help="how many days")
    apply.add_argument("--dry-run", action="store_true", help="only show what it would be")


def _show(queue: Queue, options: argparse.Namespace) -> Answer:
    del options
    return Table(frame=queue.retention(), now=queue.repository.now())


def _apply(queue: Queue, options: argparse.Namespace) -> Answer:
    return Table(frame=queue.retention(options.days, dry_run=options.dry_run), now=queue.repository.now())
