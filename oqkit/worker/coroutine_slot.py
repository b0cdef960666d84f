"""More slots for coroutines: they wait rather than work, so a worker runs many leases of them at once.

How many rows a lease of coroutines has depends on how the submitter cut its job, and on how many jobs there are; how many
coroutines run at once must not. So while a slot runs fewer of them than it may, one more slot looks for others, in
any part of any job. It ends when there is nothing left to fill up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from oqkit.limits import WorkerLimits
from oqkit.worker.executor import Executor
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.slot import Slot
from oqkit.worker.solitude import Solitude
from oqkit.worker.source import LeaseSource
from oqkit.worker.thread import Event, Thread
from oqkit.worker.trouble import Trouble


class CoroutineSlots:
    """The further slots of a worker; at most one of them looks for work, while the source has room for coroutines."""

    def __init__(
        self,
        source: LeaseSource,
        *,
        make: Callable[[PassingSource], Slot],
        start: Callable[..., Thread],
        limits: WorkerLimits,
    ) -> None:
        self.source = source
        self.limits = limits
        self._make = make
        self._start = start
        self._looking: PassingSource | None = None
        self._threads: list[Thread] = []
        self._lock = threading.Lock()

    @property
    def threads(self) -> list[Thread]:
        """The threads of those that have not ended."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return list(self._threads)

    def fill_up(self) -> None:
        """Let one more slot look for coroutines if there is room for them and none looks."""
        with self._lock:
            if self._looking is not None or not self._has_room():
                return
            self._looking = PassingSource(self)
            slot = self._make(self._looking)
            self._threads.append(self._start(slot.run, name="oqkit-coroutines"))

    def may_look(self, who: PassingSource) -> bool:
        """Let `who` be the one that looks; return False if another does, or there is no room."""
        with self._lock:
            if self._looking not in (None, who) or not self._has_room():
                self._looking = None if self._looking is who else self._looking
                return False
            self._looking = who
            return True

    def found(self, who: PassingSource) -> None:
        """Note that `who` looks no longer, and let another one do it."""
        with self._lock:
            self._looking = None if self._looking is who else self._looking
        self.fill_up()

    def _has_room(self) -> bool:
        return self.source.has_room and not self.source.stopping.is_set()


class PassingSource:
    """The source of one further slot: of coroutines only, and at an end when there is nothing left to fill up."""

    def __init__(self, slots: CoroutineSlots) -> None:
        self._slots = slots
        self._source = slots.source
        self._n_held = 0
        self.solitude: Solitude = self._source.solitude
        self.trouble: Trouble = self._source.trouble
        self.killing: Event = self._source.killing
        self.stopping = _Either(self._source.stopping)

    def acquire(self, executor: Executor) -> LeaseRunner | None:
        """Claim a lease of coroutines; one at a time, since others look for more meanwhile."""
        if self._n_held:
            return None
        if not self._slots.may_look(self):
            self.stopping.set()
            return None
        runner = self._source.acquire(executor, only_coroutines=True)
        if runner is not None:
            self._n_held += 1
            self._slots.found(self)
        return runner

    def ended(self, runner: LeaseRunner) -> None:
        """Take back a runner that has finished."""
        self._n_held -= 1
        self._source.ended(runner)

    def put_aside(self, job_id: str, error: Exception) -> None:
        """Leave a job alone for a while with which something unforeseen went wrong."""
        self._source.put_aside(job_id, error)

    def wait_s(self) -> float:
        """Return how long there will be nothing to do, in seconds."""
        return max(self._slots.limits.coroutine_look_s, self._source.wait_s())

    def monotonic(self) -> float:
        """Return this machine's monotonic time, in seconds."""
        return self._source.monotonic()


class _Either:
    """Set when the worker stops, or when its slot is no longer needed."""

    def __init__(self, stopping: Event) -> None:
        self._stopping = stopping
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set or self._stopping.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._is_set or self._stopping.wait(timeout)
