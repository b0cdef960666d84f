"""The command ``oq``: run workers, and look at and steer jobs from a terminal."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import FrameType
from typing import NoReturn

import pandas as pd

from oqkit.client.connect import connect
from oqkit.client.queue import Queue
from oqkit.clock import SystemClock
from oqkit.errors import OqError, Unavailable, UsageError
from oqkit.launch.launcher import EXIT_OUTDATED
from oqkit.launch.local import Worker
from oqkit.printable import PlainFormatter, printable
from oqkit.task.code import tasks_of
from oqkit.worker.worker import GRACE_S, LEASE_S

PARENT_CHECK_S = 1.0
CONNECT_S = 60.0
CONNECT_WAIT_S = 2.0
EXIT_STUCK = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 well, 1 the queue said no, 2 the call was wrong, 3 the store never answered a worker.

    A worker under `local_workers` (``--exit-with``) exits with 4 if it is to be started anew.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(_connected(options), options))
    except UsageError as error:
        return _refused(error, code=2)
    except OqError as error:
        return _refused(error, code=1)
    except KeyboardInterrupt:
        return 130


def _refused(error: OqError, *, code: int) -> int:
    sys.stderr.write(f"oq: {printable(error, keeps_lines=True)}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oq", description="Durable dataframe jobs on an S3 bucket, or a directory.")
    parser.add_argument("--version", action="version", version=f"oqkit {version('oqkit')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    worker = _command(commands, "worker", _worker, "run tasks until stopped")
    worker.add_argument(
        "functions", nargs="*", metavar="MODULE[:FUNCTION]", help="what to run; a module: all its tasks"
    )
    worker.add_argument("-c", "--concurrency", type=int, default=1, metavar="N", help="leases at once (default 1)")
    worker.add_argument("--executor", choices=("thread", "process"), default="thread", help="where functions run")
    worker.add_argument("--trust-code", action="store_true", help="also run functions that were submitted by value")
    worker.add_argument("--lease", type=float, default=LEASE_S, metavar="S", help=f"seconds (default {LEASE_S:g})")
    worker.add_argument("--grace", type=float, default=GRACE_S, metavar="S", help=f"seconds (default {GRACE_S:g})")
    worker.add_argument("--until-idle", action="store_true", help="exit when no job has work for it")
    worker.add_argument(
        "--exit-with",
        type=int,
        metavar="PID",
        help="stop when its parent, which has this id, ends; exit with code 4 when a module that it has loaded is out "
        "of date, to be started anew",
    )
    worker.add_argument(
        "--data-root",
        action="append",
        metavar="URL",
        help="also read files below this folder or bucket when a job asks for them; may be repeated",
    )
    jobs = _command(commands, "jobs", _jobs, "list the newest jobs")
    jobs.add_argument("-n", "--limit", type=int, default=20, metavar="N")
    for name, run, text in (
        ("status", _status, "show how far a job is"),
        ("errors", _errors, "show what failed"),
        ("cancel", _cancel, "cancel what has not ended"),
        ("retry", _retry, "run what failed again"),
        ("pause", _pause, "let workers start no more of its tasks"),
        ("resume", _resume, "end a pause"),
    ):
        _command(commands, name, run, text).add_argument("job", metavar="JOB", help="its name or id")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[Queue, argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    parser.add_argument("--url", help="the queue (default: OQ_URL, oq.toml, or a directory in your home)")
    parser.add_argument("--endpoint-url", help="of an S3 server that is not AWS")
    parser.add_argument("--region")
    parser.add_argument("--profile", help="a [profiles.NAME] table of oq.toml")
    return parser


def _connected(options: argparse.Namespace) -> Queue:
    """Open the queue. A worker gives a store that does not answer a minute: it may be started before its store is up."""
    clock = SystemClock()
    end = clock.monotonic() + (CONNECT_S if options.run is _worker else 0.0)
    while True:
        try:
            return connect(
                options.url,
                endpoint_url=options.endpoint_url,
                region=options.region,
                profile=options.profile,
                data_roots=getattr(options, "data_root", None),
            )
        except Unavailable as error:
            if clock.monotonic() >= end:
                raise
            sys.stderr.write(f"oq: {printable(error)}; trying again\n")
            clock.sleep(CONNECT_WAIT_S)


def _worker(queue: Queue, options: argparse.Namespace) -> int:
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
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
    )

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)  # a second signal ends it at once
        worker.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if options.exit_with is not None:
        threading.Thread(target=_stop_in_time, args=(worker, options.exit_with), daemon=True).start()
    logging.getLogger(__name__).info("worker %s on %s", worker.name, queue.url)
    try:
        worker.run(until_idle=options.until_idle)
    except Unavailable as error:
        if worker.is_stuck:  # threads that wait for the store are left behind: nothing must wait for them
            _exit_at_once(error)
        raise
    return EXIT_OUTDATED if options.exit_with is not None and worker.is_outdated else 0


def _exit_at_once(error: Exception) -> NoReturn:
    logging.getLogger(__name__).error("%s", error)
    logging.shutdown()
    os._exit(EXIT_STUCK)


def _stop_in_time(worker: Worker, parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent and not worker.is_outdated:
        never.wait(PARENT_CHECK_S)
    worker.stop()


def _jobs(queue: Queue, options: argparse.Namespace) -> int:
    frame = queue.jobs(limit=options.limit)
    _print(frame.drop(columns=[name for name in ("cancelled", "expired") if not frame[name].any()]))
    return 0


def _status(queue: Queue, options: argparse.Namespace) -> int:
    job = queue.job(options.job)
    counts = job.counts()
    told = "  ".join(f"{status} {n:,}" for status, n in counts.items() if n)
    why = f"\n{said}" if (said := job.why()) else ""
    sys.stdout.write(f"{printable(job.name) or job.id}  {job.type}  {job.status}\n{told}{why}\n")
    return 0


def _errors(queue: Queue, options: argparse.Namespace) -> int:
    _print(queue.job(options.job).errors().drop(columns=["traceback", "task_id"]))
    return 0


def _cancel(queue: Queue, options: argparse.Namespace) -> int:
    sys.stdout.write(f"cancelled {queue.job(options.job).cancel():,}\n")
    return 0


def _retry(queue: Queue, options: argparse.Namespace) -> int:
    sys.stdout.write(f"running {queue.job(options.job).retry():,} again\n")
    return 0


def _pause(queue: Queue, options: argparse.Namespace) -> int:
    queue.job(options.job).pause()
    sys.stdout.write(f"paused; `oq resume {options.job}` goes on\n")
    return 0


def _resume(queue: Queue, options: argparse.Namespace) -> int:
    queue.job(options.job).resume()
    sys.stdout.write("resumed\n")
    return 0


def _print(frame: pd.DataFrame) -> None:
    with pd.option_context("display.width", 200, "display.max_columns", None, "display.max_rows", None):
        shown = frame.map(_plain).rename(index=_plain, columns=_plain)
        sys.stdout.write(f"{shown.to_string() if len(shown) else 'none'}\n")


def _plain(cell: object) -> object:
    return printable(cell) if isinstance(cell, str) else cell
