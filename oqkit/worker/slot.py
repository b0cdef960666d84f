"""One thread of a worker: claims a lease, runs it, and meanwhile fetches the next and commits the last."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from oqkit.errors import OqError
from oqkit.limits import WorkerLimits
from oqkit.worker.executor import Executor
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.solitude import Solitude
from oqkit.worker.thread import Event, Future, Queue
from oqkit.worker.trouble import Trouble

log = logging.getLogger(__name__)


class Source(Protocol):
    """Where leases come from and go to, and what all slots of a worker share."""

    @property
    def solitude(self) -> Solitude:
        """Return what lets one slot work while no other does."""

    @property
    def trouble(self) -> Trouble:
        """Return what is in the way of fetching work."""

    @property
    def stopping(self) -> Event:
        """Return what is set when nothing more is to be started."""

    @property
    def killing(self) -> Event:
        """Return what is set when even calls in progress are to be left."""

    def acquire(self, executor: Executor) -> LeaseRunner | None:
        """Claim a lease, to be run by `executor`; None if there is nothing to do now. What it raises is in `trouble`."""

    def ended(self, runner: LeaseRunner) -> None:
        """Take back a runner that has finished."""

    def put_aside(self, job_id: str, error: Exception) -> None:
        """Leave a job alone for a while with which something unforeseen went wrong."""

    def wait_s(self) -> float:
        """Return how long there will be nothing to do, in seconds."""

    def monotonic(self) -> float:
        """Return this machine's monotonic time, in seconds."""


class Slot:
    """Runs leases one after the other, in the thread that calls `run`.

    Three things go on at once: one lease runs, the slot's thread claims and loads the next when that is
    near its end, and a second thread commits the one before. A lease that is to run alone waits until
    all of that has ended, in every slot.
    """

    def __init__(self, source: Source, executor: Executor, committer: Queue, *, limits: WorkerLimits) -> None:
        self._source = source
        self._limits = limits
        self._executor = executor
        self._committer = committer
        self._committing: deque[Future] = deque()
        self.is_idle = False

    def run(self) -> None:
        """Work until told to stop; then hand back what was not started, and return."""
        try:
            self._loop()
            self._settle(leave=0)
        finally:
            self._committer.shutdown()
            self._executor.close()

    def _loop(self) -> None:
        stopping = self._source.stopping
        current: LeaseRunner | None = None
        ahead: LeaseRunner | None = None
        while current is not None or not stopping.is_set():
            if current is None:
                current = self._begin(self._next())
                continue
            if stopping.is_set() or self._source.solitude.is_asked_for_by_another(current):
                self._wind_up(current, ahead)
                ahead = None
            elif ahead is not None:
                ahead = self._unless_stale(ahead)
            elif current.remaining_s() <= min(self._limits.ahead_s, current.lease.lease_s / 6):
                ahead = self._next(wait=False)
            if self._step(current):
                self._committing.append(self._committer.submit(self._end, current))
                current, ahead = self._begin(ahead), None
                self._settle(leave=self._limits.ahead_commits)

    def _step(self, runner: LeaseRunner) -> bool:
        try:
            return runner.step()
        except Exception as error:  # noqa: BLE001 - of this lease alone: its rows go to others when it runs out
            self._give_up(runner, error)
            return True

    def _give_up(self, runner: LeaseRunner, error: Exception) -> None:
        """Leave a lease to its end; with it the job, for a while, if what went wrong is none of the errors foreseen."""
        log.error("lease %s is given up, and what is not committed with it", runner.lease.id, exc_info=error)
        runner.abort()
        if not isinstance(error, OqError):
            self._source.put_aside(runner.lease.job.id, error)

    def _begin(self, runner: LeaseRunner | None) -> LeaseRunner | None:
        if runner is None:
            return None
        try:
            return self._begun(runner)
        except Exception as error:  # noqa: BLE001 - as in _step()
            self._give_up(runner, error)
            self._source.ended(runner)
            return None

    def _begun(self, runner: LeaseRunner) -> LeaseRunner | None:
        if (runner.wants_solitude or runner.wants_isolation) and not self._withdraw(runner):
            self._end(runner)
            return None
        runner.start()
        return runner

    def _withdraw(self, runner: LeaseRunner) -> bool:
        """Wait until what may kill its process can run as it must; return False if that is not to be."""
        solitude = self._source.solitude
        self._settle(leave=0)
        if runner.wants_solitude:
            if not (solitude.ask(runner) and self._wait(runner, solitude.is_granted)):
                return False
            runner.stand_alone()
            return not runner.is_lost
        return self._wait(runner, solitude.isolate)

    def _wait(self, runner: LeaseRunner, is_granted: Callable[[LeaseRunner], bool]) -> bool:
        """Keep a lease alive until something is granted; return False if it is needed no more, or is in the way."""
        source, yield_s = self._source, self._limits.yield_s
        while not is_granted(runner):
            if source.solitude.is_asked_for_by_another(runner) or source.stopping.wait(yield_s) or runner.is_lost:
                return False
            if runner.is_due:
                runner.extend()
        return True

    def _next(self, *, wait: bool = True) -> LeaseRunner | None:
        source, limits = self._source, self._limits
        if (left_s := source.trouble.left_s(source.monotonic())) > 0:
            source.stopping.wait(min(left_s, limits.longest_idle_s) if wait else 0)
            return None
        try:
            runner = source.acquire(self._executor)
        except OqError:  # people were told
            return None
        self.is_idle = runner is None and wait
        if self.is_idle:
            is_asked_for = source.solitude.is_asked_for
            idle_s = limits.yield_s if is_asked_for else min(source.wait_s(), limits.longest_idle_s)
            source.stopping.wait(idle_s)
        return runner

    def _unless_stale(self, ahead: LeaseRunner) -> LeaseRunner | None:
        """Hand rows that wait here back to others if the present runner goes on for longer than it seemed."""
        if not ahead.is_due:
            return ahead
        self._end(ahead)
        return None

    def _wind_up(self, current: LeaseRunner, ahead: LeaseRunner | None) -> None:
        if ahead is not None:
            self._end(ahead)
        current.hand_back()
        if self._source.killing.is_set():
            current.give_up()

    def _settle(self, *, leave: int) -> None:
        """Wait until at most `leave` commits are under way."""
        while self._committing and (len(self._committing) > leave or self._committing[0].done()):
            self._committing.popleft().result()

    def _end(self, runner: LeaseRunner) -> None:
        try:
            runner.finish()
        except Exception as error:  # noqa: BLE001 - as in _step()
            self._give_up(runner, error)
        finally:
            self._source.ended(runner)
