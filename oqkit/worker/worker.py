"""A worker: takes leases, runs functions, commits outcomes, and stops without losing anything."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from oqkit.clock import new_id
from oqkit.errors import Unavailable, UsageError
from oqkit.observe.event import LeaseEnded, WorkerStarted, WorkerStopped
from oqkit.observe.hook import Hooks
from oqkit.observe.observer import Listener, Observers
from oqkit.queue.repository import Repository
from oqkit.queue.worker_record import WorkerRecord
from oqkit.task.function import TaskFunction
from oqkit.worker.coroutine_slot import CoroutineSlots
from oqkit.worker.duty import Duties, Duty
from oqkit.worker.executor import Executor, ThreadExecutor
from oqkit.worker.hooked import HookedWorker
from oqkit.worker.interface import Codec, Spawner
from oqkit.worker.process import ProcessExecutor
from oqkit.worker.registry import HandlerRegistry
from oqkit.worker.reporter import Report
from oqkit.worker.service import spawns_nothing
from oqkit.worker.slot import Slot, Source
from oqkit.worker.source import LeaseSource
from oqkit.worker.thread import SystemThreads, Thread, Threads

log = logging.getLogger(__name__)

LEASE_S = 60.0
GRACE_S = 30.0

ExecutorName = Literal["thread", "process"]


class WorkerLoop(HookedWorker):
    """Runs the tasks of a queue until it is stopped. `concurrency` leases are worked off at once.

    Rows whose leases ran out `isolates_after` times in a row run in a child process, whatever the executor,
    since they may kill what runs them. A worker whose functions need nothing of its own process, because it
    imported them by name or has them from the queue, can do so after the first time.
    """

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
        isolates_after: int = 2,
        aging_s: float | None = None,
        shard_leases: bool = False,
        spawn: Spawner = spawns_nothing,
        name: str | None = None,
        listeners: Iterable[Listener] = (),
        threads: Threads | None = None,
    ) -> None:
        if concurrency < 1:
            raise UsageError(f"concurrency={concurrency} must be 1 or more")
        if not callable(executor) and executor not in {"thread", "process"}:
            raise UsageError(f"executor={executor!r} must be 'thread' or 'process'")
        self.name = name or _worker_name(repository)
        self._repository = repository
        self._limits = repository.limits.worker
        self._concurrency = concurrency
        self._threads = threads or SystemThreads()
        self._make_executor = executor if callable(executor) else self._executors()[executor]
        self._grace_s = grace_s
        self._observers = Observers(listeners)
        self._hooks = Hooks(self._observers)
        self._registry = HandlerRegistry(repository, tasks, trusts_code=trust_code)
        self._source = LeaseSource(
            repository,
            codec,
            self._registry,
            worker=self.name,
            lease_s=lease_s,
            grace_s=grace_s,
            isolates_after=isolates_after,
            aging_s=aging_s,
            shard_leases=shard_leases,
            threads=self._threads,
            observers=self._observers,
            concurrency=concurrency,
        )
        self._source.spawn = spawn
        self._more = CoroutineSlots(self._source, make=self._slot, start=self._start, limits=self._limits)
        if executor == "thread":  # a slot of another kind may need a process of its own
            self._source.on_coroutines = self._more.fill_up
        self._broken: list[BaseException] = []
        self.is_stuck = False
        """Whether it ended although the store never answered: threads that wait for it are left behind."""

    def run(self, *, until_idle: bool = False) -> None:
        """Work until `stop`; with `until_idle` also stop once no open job has anything for this worker.

        Ctrl-C stops it as `stop` does: rows not started are handed back, calls in progress get the
        grace period to end.
        """
        self._observers.tell(WorkerStarted, self._started)
        try:
            self._hooks.begin(self._source.stopping.is_set)
            self._run(until_idle=until_idle)
        finally:
            self._observers.tell(WorkerStopped, lambda: WorkerStopped(at=self._repository.now(), worker=self.name))
            self._hooks.flush(self._grace_s)
            self._observers.flush(self._limits.farewell_s)

    def _started(self) -> WorkerStarted:
        types = tuple(sorted(self._registry.ability.types))
        return WorkerStarted(at=self._repository.now(), worker=self.name, types=types, concurrency=self._concurrency)

    def _run(self, *, until_idle: bool) -> None:
        limits, duties = self._limits, self._take_up_duties()
        duties.begin_due()
        slots = [self._slot(self._source) for _ in range(self._concurrency)]
        threads = [self._start(slot.run, name="oqkit-slot") for slot in slots]
        try:
            while any(thread.is_alive() for thread in threads):
                threads[0].join(limits.watch_s if until_idle else limits.watch_slots_s)
                self._source.stopping.wait(limits.watch_s)
                duties.begin_due()
                is_idle = all(slot.is_idle for slot in slots) and not self._more.threads
                if until_idle and is_idle and self._source.is_done():
                    self.stop()
                if self._source.stopping.is_set():
                    break
        except KeyboardInterrupt:
            self.stop()
        self._drain(threads, duties)
        if self._broken:
            raise self._broken[0]

    @property
    def is_outdated(self) -> bool:
        """Whether it left a job alone that it might run if it were started anew: a module's source has changed."""
        return self._registry.is_outdated

    def stop(self) -> None:
        """Ask the worker to stop, from any thread or signal handler; `run` returns when it has."""
        self._source.stopping.set()

    def _drain(self, threads: list[Thread], duties: Duties) -> None:
        """Give calls in progress the grace time, then leave them; whatever the store does, this comes to an end."""
        self._source.stopping.set()
        threads = [*threads, *self._more.threads]
        self._join(threads, self._grace_s)
        self._source.killing.set()
        has_ended = self._join(threads, self._limits.settle_s)
        if has_ended:
            has_ended = self._join([self._start(duties.leave, name="oqkit-farewell")], self._limits.farewell_s)
        if has_ended:
            return
        self.is_stuck = True
        raise Unavailable(
            f"worker {self.name} is gone after its grace time of {self._grace_s:g} s, although the store has not "
            "answered: what it could not commit is run again by others once its leases run out"
        )

    def _join(self, threads: list[Thread], patience_s: float) -> bool:
        """Wait until all threads have ended, but not for longer; return whether they have."""
        clock = self._repository.store.clock
        end = clock.monotonic() + patience_s
        for thread in threads:
            thread.join(max(0.0, end - clock.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _take_up_duties(self) -> Duties:
        """Return what this worker does besides running leases."""
        ability = self._registry.ability
        record = WorkerRecord(
            name=self.name,
            host=socket.gethostname(),
            pid=os.getpid(),
            types=sorted(ability.types),
            trusts_code=ability.trusts_code,
            python=ability.python,
            magic=ability.magic,
            concurrency=self._concurrency,
            started=0.0,
            seen=0.0,
            n_rows=0,
            requests={},
        )
        report = Report(self._repository, record, self._registry)
        self._observers.on(LeaseEnded, report.count)
        monotonic = self._repository.store.clock.monotonic
        source = self._source
        duties: list[Duty] = [source.finished, source.sweep, source.scheduler, source.limiter, report]
        if source.share is not None:
            duties.append(source.share)
        return Duties(duties, start=self._start, monotonic=monotonic, limits=self._limits)

    def _executors(self) -> dict[ExecutorName, Callable[[], Executor]]:
        return {
            "thread": lambda: ThreadExecutor(self._threads, isolating=self._child_executor),
            "process": lambda: ProcessExecutor(self._repository.limits),
        }

    def _child_executor(self) -> Executor | None:
        """Return an executor that runs rows in a child process, or None where there is no such thing."""
        return None if sys.platform == "win32" else ProcessExecutor(self._repository.limits)

    def _slot(self, source: Source) -> Slot:
        return Slot(source, self._make_executor(), self._threads.queue(name="oqkit-commit"), limits=self._limits)

    def _start(self, call: Callable[[], None], *, name: str) -> Thread:
        return self._threads.start(partial(self._guard, call), name=name)

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - reported by run(), which must not go on with fewer threads
            self._broken.append(error)
            self._source.stopping.set()


def _worker_name(repository: Repository) -> str:
    host = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[:40] or "worker"
    return f"{host}-{os.getpid()}-{new_id(repository.rng)[:4]}"
