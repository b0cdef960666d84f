"""``oq worker``: run tasks until stopped."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from typing import NoReturn

from oqkit.cli.answer import Answer
from oqkit.cli.service import log_to_terminal, stopped_by_signals
from oqkit.client.queue import Queue
from oqkit.errors import Unavailable
from oqkit.launch.launcher import EXIT_OUTDATED
from oqkit.launch.local import Worker
from oqkit.task.code import tasks_of
from oqkit.worker.worker import GRACE_S, LEASE_S

PARENT_CHECK_S = 1.0
CONNECT_S = 60.0
"""A worker gives a store that does not answer a minute: it may be started before its store is up."""
EXIT_STUCK = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what a worker takes."""
    parser.set_defaults(connect_s=CONNECT_S)
    parser.add_argument(
        "functions", nargs="*", metavar="MODULE[:FUNCTION]", help="what to run; a module: all its tasks"
    )
    parser.add_argument("-c", "--concurrency", type=int, default=1, metavar="N", help="leases at once (default 1)")
    parser.add_argument("--executor", choices=("thread", "process"), default="thread", help="where functions run")
    parser.add_argument("--trust-code", action="store_true", help="also run functions that were submitted by value")
    parser.add_argument("--lease", type=float, default=LEASE_S, metavar="S", help=f"seconds (default {LEASE_S:g})")
    parser.add_argument("--grace", type=float, default=GRACE_S, metavar="S", help=f"seconds (default {GRACE_S:g})")
    parser.add_argument(
        "--aging",
        metavar="TIME",
        help="a job gains one priority each time it has waited so long, such as 10m (default: never)",
    )
    parser.add_argument(
        "--shard-leases",
        action="store_true",
        help="divide the shards of a queue of thousands of open jobs with the other workers that have this option",
    )
    parser.add_argument("--until-idle", action="store_true", help="exit when no job has work for it")
    parser.add_argument(
        "--exit-with",
        type=int,
        metavar="PID",
        help="stop when its parent, which has this id, ends; exit with code 4 when a module that it has loaded is out "
        "of date, to be started anew",
    )
    parser.add_argument(
        "--data-root",
        action="append",
        metavar="URL",
        help="also read files below this folder or bucket when a job asks for them; may be repeated",
    )


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Run until a signal, or until idle."""
    log_to_terminal()
    os.environ.pop("OQ_SIGNING_KEY", None)  # it was read: no process that a function starts needs to have it
    if not {"", os.getcwd()} & set(sys.path):  # noqa: PTH109 - as text, like the entries
        sys.path.append(os.getcwd())  # noqa: PTH109 - local modules are found, but last: they shadow nothing
    worker = Worker(
        queue,
        [task for name in options.functions for task in tasks_of(name)],
        concurrency=options.concurrency,
        executor=options.executor,
        trust_code=options.trust_code or bool(queue.settings.trust_code),
        lease_s=options.lease,
        grace_s=options.grace,
        isolates_after=1,
        aging=options.aging,
        shard_leases=options.shard_leases,
    )

    def stop(number: int) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second signal ends it at once
        worker.stop()

    with stopped_by_signals(stop):
        if options.exit_with is not None:
            threading.Thread(target=_stop_in_time, args=(worker, options.exit_with), daemon=True).start()
        logging.getLogger(__name__).info("worker %s on %s", worker.name, queue.url)
        try:
            worker.run(until_idle=options.until_idle)
        except Unavailable as error:
            if worker.is_stuck:  # threads that wait for the store are left behind: nothing must wait for them
                _exit_at_once(error)
            raise
    return Answer(code=EXIT_OUTDATED if options.exit_with is not None and worker.is_outdated else 0)


def _exit_at_once(error: Exception) -> NoReturn:
    logging.getLogger(__name__).error("%s", error)
    logging.shutdown()
    os._exit(EXIT_STUCK)


def _stop_in_time(worker: Worker, parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent and not worker.is_outdated:
        never.wait(PARENT_CHECK_S)
    worker.stop()
