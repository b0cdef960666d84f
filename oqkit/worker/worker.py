"""A worker: takes leases, runs functions, commits outcomes, and stops without losing anything."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

from oqkit.claim.claimer import Claimer
from oqkit.claim.lease import HeldLease
from oqkit.clock import new_id
from oqkit.errors import FormatError, Missing, SchemaError, StoreError, Unavailable, UsageError
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.worker_record import BUSY_EVERY_S, IDLE_EVERY_S, WorkerRecord, put_worker
from oqkit.task.function import TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer
from oqkit.worker.call import COROUTINES, Work
from oqkit.worker.executor import Executor, ThreadExecutor
from oqkit.worker.interface import Codec, Inputs
from oqkit.worker.process import ProcessExecutor
from oqkit.worker.registry import HandlerRegistry
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.slot import Slot
from oqkit.worker.thread import SystemThreads, Thread, Threads

log = logging.getLogger(__name__)

LEASE_S = 60.0
GRACE_S = 30.0
FIRST_BATCH = 256

ExecutorName = Literal["thread", "process"]


class WorkerLoop:
    """Runs the tasks of a queue until it is stopped. `concurrency` leases are worked off at once."""

    def __init__(
        self,
        repository: Repository,
        codec: Codec,
        tasks: Iterable[TaskFunction],
        *,
        concurrency: int = 1,
        executor: ExecutorName | Callable[[], Executor] = "thread",
        trust_code: bool = False,
        lease_s: float = LEASE_S,
        grace_s: float = GRACE_S,
        name: str | None = None,
        threads: Threads | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency={concurrency} must be 1 or more")
        if not callable(executor) and executor not in {"thread", "process"}:
            raise UsageError(f"executor={executor!r} must be 'thread' or 'process'")
        self.name = name or _worker_name(repository)
        self._repository = repository
        self._codec = codec
        self._concurrency = concurrency
        self._threads = threads or SystemThreads()
        self._make_executor = executor if callable(executor) else self._executors()[executor]
        self._grace_s = grace_s
        self._registry = HandlerRegistry(repository, tasks, trusts_code=trust_code)
        self._timer = RowTimer()
        self._lock = self._threads.lock()
        self._claimer = Claimer(
            repository,
            self._registry.topics(),
            worker=self.name,
            lease_s=lease_s,
            can_run=self._registry.can_run,
            lease_rows=self._lease_rows,
        )
        self._stopping = self._threads.event()
        self._killing = self._threads.event()
        self._broken: list[BaseException] = []
        self._started = 0.0
        self._reported = float("-inf")
        self._n_rows = self._n_reported = 0

    def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`; with `until_idle` also stop once no open job has anything for this worker.

        Ctrl-C stops it as `stop` does: rows not started are handed back, calls in progress get the
        grace period to end.
        """
        self._started = self._repository.now()
        self._report()
        slots = [self._slot() for _ in range(self._concurrency)]
        threads = [self._threads.start(partial(self._guard, slot), name="oqkit-slot") for slot in slots]
        try:
            while any(thread.is_alive() for thread in threads):
                threads[0].join(0.05 if until_idle else 0.2)
                self._stopping.wait(0.05)
                self._report_when_due()
                if until_idle and all(slot.is_idle for slot in slots) and self._is_done():
                    self.stop()
                if self._stopping.is_set():
                    break
        except KeyboardInterrupt:
            self.stop()
        self._drain(threads)
        self._report(is_stopped=True)
        if self._broken:
            raise self._broken[0]

    def stop(self) -> None:
        """Ask the worker to stop, from any thread or signal handler; `run` returns when it has."""
        self._stopping.set()

    def _drain(self, threads: list[Thread]) -> None:
        self._stopping.set()
        clock = self._repository.store.clock
        end = clock.monotonic() + self._grace_s
        for thread in threads:
            thread.join(max(0.0, end - clock.monotonic()))
        self._killing.set()
        for thread in threads:
            thread.join(self._grace_s)
        with self._lock:
            self._claimer.sweep(at_once=True)

    def _report_when_due(self) -> None:
        every_s = IDLE_EVERY_S if self._n_rows == self._n_reported else BUSY_EVERY_S
        if self._repository.store.clock.monotonic() - self._reported >= every_s:
            self._report()

    def _report(self, *, is_stopped: bool = False) -> None:
        self._reported, self._n_reported = self._repository.store.clock.monotonic(), self._n_rows
        record = WorkerRecord(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            types=sorted(self._registry.topics().types),
            trusts_code=self._registry.topics().everything,
            concurrency=self._concurrency,
            started=self._started,
            seen=self._repository.now(),
            n_rows=self._n_rows,
            requests=dict(self._repository.store.requests.snapshot()),
            is_stopped=is_stopped,
        )
        try:
            put_worker(self._repository, record)
        except StoreError as error:
            log.warning("the worker's record could not be written: %s", error)

    def _is_done(self) -> bool:
        with self._lock:
            return self._claimer.is_done()

    def _executors(self) -> dict[ExecutorName, Callable[[], Executor]]:
        return {"thread": lambda: ThreadExecutor(self._threads), "process": ProcessExecutor}

    def _slot(self) -> Slot:
        executor = self._make_executor()
        return Slot(
            lambda: self._acquire(executor),
            self._ended,
            close=executor.close,
            wait_s=self._wait_s,
            stopping=self._stopping,
            killing=self._killing,
            committer=self._threads.queue(name="oqkit-commit"),
        )

    def _guard(self, slot: Slot) -> None:
        try:
            slot.run()
        except BaseException as error:  # noqa: BLE001 - reported by run(), which must not go on with fewer slots
            self._broken.append(error)
            self._stopping.set()

    # --- what slots need -------------------------------------------------------------------------

    def _lease_rows(self, job: Job) -> tuple[int, int | None]:
        """Return how few and how many rows are worth a lease; how many is None while it is unknown.

        Coroutines wait together, and a call of a batch function may take as long for a few rows as for many:
        of those, small leases would cost time rather than save it.
        """
        known, handler = self._timer.lease_rows(job), self._handler(job)
        at_once = COROUTINES if handler.is_async else 1
        if known is None:
            return at_once, None
        least, most = known
        return max(at_once, most if handler.is_batch else least), max(at_once, most)

    def _handler(self, job: Job) -> Handler:
        handler = self._registry.handler(job)
        if handler is None:
            raise AssertionError(f"job {job.id} was chosen without a handler")
        return handler

    def _acquire(self, executor: Executor) -> LeaseRunner | None:
        with self._lock:
            lease = self._claimer.find()
        if lease is None:
            return None
        handler = self._handler(lease.job)
        try:
            inputs = self._codec.open(lease.job, lease.index)
        except (FormatError, Missing) as error:
            inputs = Unreadable(f"the inputs of part {lease.index} cannot be read: {error}")
        except Unavailable:
            lease.commit([], is_last=True)
            raise
        work = self._work(lease, handler, inputs)
        return LeaseRunner(lease, work, codec=self._codec, executor=executor, timer=self._timer)

    def _work(self, lease: HeldLease, handler: Handler, inputs: Inputs) -> Work:
        job, rows = lease.job, lease.rows.numbers()
        known = self._timer.row_s(job) is not None
        return Work(
            handler=handler,
            job_id=job.id,
            mode=job.mode,
            first_task=lease.index * job.part_rows,
            rows=rows,
            inputs=inputs,
            attempts=lease.attempts(),
            worker=self.name,
            timeout_s=job.timeout_s,
            first_batch=len(rows) if known else min(FIRST_BATCH, len(rows)),
            max_batch=len(rows),
            table=self._codec.table,
        )

    def _ended(self, runner: LeaseRunner) -> None:
        with self._lock:
            self._n_rows += runner.n_finished
            try:
                if not runner.is_lost:
                    self._claimer.ended(runner.lease)
                    return
            except StoreError as error:  # the outcomes are committed: only what is next must be found out anew
                log.warning("job %s will be looked at again: %s", runner.lease.job.id, error)
            self._claimer.lost(runner.lease)

    def _wait_s(self) -> float:
        with self._lock:
            return self._claimer.wait_s()


class Unreadable:
    """Inputs that are not there: whoever asks for them learns why."""

    def __init__(self, message: str) -> None:
        self._message = message

    @property
    def columns(self) -> tuple[str, ...]:
        """Raise `SchemaError`."""
        raise SchemaError(self._message)

    def arguments(self, *_: Any) -> Any:
        """Raise `SchemaError`."""
        raise SchemaError(self._message)

    values = frame = only = arguments


def _worker_name(repository: Repository) -> str:
    host = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[:40] or "worker"
    return f"{host}-{os.getpid()}-{new_id(repository.rng)[:4]}"
