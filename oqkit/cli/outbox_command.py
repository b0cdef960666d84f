"""``oq outbox``: make the table of an outbox, and put what it holds into the queue."""

from __future__ import annotations

import argparse
import logging
import os
from threading import Event

from oqkit.cli.answer import Answer, Said
from oqkit.cli.command_registry import Opens
from oqkit.cli.parser import subcommands
from oqkit.cli.service import log_to_terminal, stopped_by_signals
from oqkit.client.outbox_relay import OutboxRelay
from oqkit.client.outbox_table import TABLE
from oqkit.client.queue import Queue
from oqkit.errors import UsageError

DATABASE = "OQ_OUTBOX_DATABASE"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Name the sub-commands."""
    add = subcommands(parser)
    setup = add("setup", set_up, help="make the table of an outbox, if it is not there")
    relay = add("relay", deliver, help="put what the outbox holds into the queue, until stopped", opens=Opens.ANY)
    for each in (setup, relay):
        each.add_argument(
            "--database", metavar="URL", help=f"for SQLAlchemy, such as postgresql+psycopg://… (default: ${DATABASE})"
        )
        each.add_argument("--table", default=TABLE, metavar="NAME", help=f"default {TABLE}")
    relay.add_argument("--keep", default="7d", metavar="TIME", help="how long to keep what was delivered (default 7d)")
    relay.add_argument("--once", action="store_true", help="exit when nothing is left to deliver")


def set_up(queue: Queue, options: argparse.Namespace) -> Answer:
    """Make the table."""
    relay = queue.outbox_relay(_database(options), table=options.table)
    relay.set_up()
    return Said(line=f"{options.table} is there", facts={"table": options.table})


def deliver(queue: Queue, options: argparse.Namespace) -> Answer:
    """Deliver until a signal, or until nothing is left."""
    log_to_terminal()
    relay = queue.outbox_relay(_database(options), table=options.table, keep=options.keep)
    if options.once:
        return _once(relay)
    stop = Event()
    with stopped_by_signals(lambda _: stop.set()):
        logging.getLogger(__name__).info("relay of outbox %s to %s", options.table, queue.url)
        relay.run(stop)
    return Answer()


def _once(relay: OutboxRelay) -> Answer:
    done = relay.deliver_all()
    aside = f", {len(done.troubles):,} put aside" if done.troubles else ""
    facts = {"delivered": done.n_delivered, "put_aside": done.troubles}
    return Said(line=f"{done.n_delivered:,} delivered{aside}", facts=facts, code=1 if done.troubles else 0)


def _database(options: argparse.Namespace) -> str:
    url: str = options.database or os.environ.get(DATABASE, "")
    if not url:
        raise UsageError(
            f"which database? Give --database URL, or set {DATABASE}, which keeps its password off the list of processes"
        )
    return url
