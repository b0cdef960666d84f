"""One topic of a worker: claims a lease, runs it, and meanwhile fetches the next and commits the last."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from oqkit.errors import OqError
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.thread import Event, Future, Queue

log = logging.getLogger(__name__)

AHEAD_S = 2.0
COMMITS_AHEAD = 2
LONGEST_IDLE_S = 1.0
ERROR_WAIT_S = 1.0


class Slot:
    """Runs runners one after the other, in the thread that calls `run`.

    Three things go on at once: one runner runs, the slot's thread claims and loads the next when that
    is near its end, and a second thread commits the one before.
    """

    def __init__(
        self,
        acquire: Callable[[], LeaseRunner | None],
        ended: Callable[[LeaseRunner], None],
        *,
        close: Callable[[], None],
        wait_s: Callable[[], float],
        stopping: Event,
        killing: Event,
        committer: Queue,
    ) -> None:
        self._acquire = acquire
        self._ended = ended
        self._close = close
        self._wait_s = wait_s
        self._stopping = stopping
        self._killing = killing
        self._committing: deque[Future] = deque()
        self._committer = committer
        self.is_idle = False

    def run(self) -> None:
        """Work until told to stop; then hand back what was not started, and return."""
        try:
            self._loop()
            self._settle(leave=0)
        finally:
            self._committer.shutdown()
            self._close()

    def _loop(self) -> None:
        current: LeaseRunner | None = None
        ahead: LeaseRunner | None = None
        while current is not None or not self._stopping.is_set():
            if current is None:
                current = self._begin(self._next())
                continue
            if self._stopping.is_set():
                self._wind_up(current, ahead)
                ahead = None
            elif ahead is not None:
                ahead = self._unless_stale(ahead)
            elif current.remaining_s() <= min(AHEAD_S, current.lease.lease_s / 6):
                ahead = self._next(wait=False)
            if current.step():
                done, current, ahead = current, self._begin(ahead), None
                self._committing.append(self._committer.submit(self._end, done))
                self._settle(leave=COMMITS_AHEAD)

    def _begin(self, runner: LeaseRunner | None) -> LeaseRunner | None:
        if runner is not None:
            runner.start()
        return runner

    def _next(self, *, wait: bool = True) -> LeaseRunner | None:
        try:
            runner = self._acquire()
        except OqError:
            log.warning("no new work could be fetched; trying again", exc_info=True)
            self._stopping.wait(ERROR_WAIT_S if wait else 0)
            return None
        self.is_idle = runner is None and wait
        if self.is_idle:
            self._stopping.wait(min(self._wait_s(), LONGEST_IDLE_S))
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
        if self._killing.is_set():
            current.give_up()

    def _settle(self, *, leave: int) -> None:
        """Wait until at most `leave` commits are under way; raise what went wrong in the others."""
        while self._committing and (len(self._committing) > leave or self._committing[0].done()):
            self._committing.popleft().result()

    def _end(self, runner: LeaseRunner) -> None:
        try:
            runner.finish()
        finally:
            self._ended(runner)
