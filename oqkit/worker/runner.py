"""One lease being worked off: started, watched, checkpointed, ended.

A runner owns the lease's clock. Its `step` is called again and again by the slot's thread while the
work itself runs elsewhere; everything that must happen in time happens there. What is to be decided
is decided by pure policies: `share` says what goes back to others, `blame` who is charged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from oqkit.claim.lease import HeldLease
from oqkit.observe.event import LeaseStarted
from oqkit.observe.observer import Observers
from oqkit.queue.commit import Outcome
from oqkit.queue.rows import NONE, Rows, union
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure
from oqkit.task.timer import RowTimer
from oqkit.worker.blame import Verdict, blame
from oqkit.worker.buffer import NOTHING, Results, joined
from oqkit.worker.call import Work, overdue
from oqkit.worker.checkpoint import Checkpointer
from oqkit.worker.executor import Executor
from oqkit.worker.interface import Codec, Spawner
from oqkit.worker.running import Running
from oqkit.worker.service import LeaseService, spawns_nothing
from oqkit.worker.share import Outlook, first_outlook, share
from oqkit.worker.thread import Threads


class LeaseRunner:
    """The work of one lease.

    Rows that may kill their process (``work.is_suspect``) run where that costs nothing else, if there is such a
    place. What fails there for another reason runs once more in the right place: it may have lacked something.
    """

    def __init__(
        self,
        lease: HeldLease,
        work: Work,
        *,
        codec: Codec,
        executor: Executor,
        timer: RowTimer,
        observers: Observers,
        threads: Threads,
        grace_s: float,
        spawn: Spawner = spawns_nothing,
        is_exposed: bool = False,
        is_only_suspect: bool = False,
    ) -> None:
        self.lease = lease
        self._limits = lease.limits
        self._executor = executor
        self._isolating = executor.isolating() if work.is_suspect and not is_exposed else None
        self._timer = timer
        self._observers = observers
        self._grace_s = grace_s
        self._clock: Callable[[], float] = lease.monotonic
        self._checkpointer = Checkpointer(
            lease, codec, observers=observers, lock=threads.lock(), refuse=self._refusal, late=self.hand_back
        )
        self._service = LeaseService(lease, extend=self._give_time, spawn=spawn, codec=codec)
        self._work = replace(work, lease=lease.id, ask=self._service.answer)
        self._later: list[Work] = []
        self._cleared = NONE
        """Rows that did not kill the process in which they were isolated, but have no valid outcome from there."""
        self._running: Running | None = None
        self._outlook: Outlook | None = None
        self._n_barren = 0
        self.n_finished = 0
        self._started = self._ended = 0.0
        self._is_handing_back = self._is_given_up = False
        self._given = NOTHING
        """What calls gave before they were told that they are given up."""
        self._is_only_suspect = is_only_suspect
        self.is_exposed = is_exposed
        """Whether rows that may kill their process cannot be isolated: the function runs in this process only."""

    @property
    def is_lost(self) -> bool:
        """Whether the lease is gone: nothing more is committed."""
        return self._checkpointer.is_lost

    @property
    def is_suspect(self) -> bool:
        """Whether one of its rows may kill its process."""
        return self._work.is_suspect

    @property
    def run_s(self) -> float | None:
        """How long its rows ran, in seconds; None if none did, or they still do."""
        return self._ended - self._started if self._ended else None

    @property
    def is_due(self) -> bool:
        """Whether it is time to extend the lease."""
        return self._checkpointer.is_due

    @property
    def wants_solitude(self) -> bool:
        """Whether to start it only when nothing else of this worker is at stake."""
        return self._work.is_suspect and (self._isolating is None or self._is_only_suspect)

    @property
    def wants_isolation(self) -> bool:
        """Whether it runs in a process that the worker would not have otherwise: one at a time is enough."""
        return self._isolating is not None and self._isolating is not self._executor

    # --- running ---------------------------------------------------------------------------------

    def extend(self) -> None:
        """Extend the lease before `start`."""
        self._checkpointer.commit(NOTHING)

    def stand_alone(self) -> None:
        """Put on record, before `start`, that nothing else of this worker is at stake: one row may be charged for it."""
        self._checkpointer.commit(NOTHING, is_alone=len(self._work.rows) == 1)

    def start(self) -> None:
        """Begin to run."""
        self._started = self._clock()
        self._checkpointer.began()
        self._observers.tell(LeaseStarted, lambda: LeaseStarted.of(self.lease))
        self._begin(self._work)

    def step(self) -> bool:
        """Wait a moment, do what is due, and return whether the running is over; then call `finish`."""
        is_over = self._step(self._present())
        if is_over:
            self._ended = self._clock()
        return is_over

    def _step(self, running: Running) -> bool:
        tick_s, before = self._tick_s(running.work), self._clock()
        is_over = running.execution.finished.wait(tick_s)
        running.forgive(self._clock() - before - tick_s)
        if self._is_given_up or (is_over and self.is_lost):
            return True
        if is_over:
            return self._goes_no_further(running)
        now = self._clock()
        if not self.is_lost:
            if running.is_overdue(now):
                self._resume(running, "TimeoutError", overdue(running.work.timeout_s))
                return not self._begin_next(running)
            self._look_after(running, now)
        return self._is_wasted(running, now) and self._leave(running)

    def hand_back(self) -> None:
        """Start nothing more; what was not started goes back with `finish`."""
        self._is_handing_back = True
        if self._running is not None:
            self._running.stop()

    def give_up(self) -> None:
        """Leave even the call in progress."""
        if not self._is_given_up:
            self._is_given_up = True
            self._given = self._drain(self._present())
            self._present().execution.abandon()

    def abort(self) -> None:
        """Leave everything as it is: the lease runs out, and its rows go to others."""
        self._checkpointer.lose()
        if self._running is not None:
            self._running.execution.abandon()

    def remaining_s(self) -> float:
        """Estimate how long the rest takes, in seconds; infinite while nothing is known, or what was known is wrong."""
        if self._outlook is None:
            return math.inf
        n_later = sum(len(work.rows) for work in self._later) + len(self._cleared)
        known_row_s = self._timer.row_s(self.lease.job)
        wrong_s = self._limits.worker.wrong_s
        return self._outlook.remaining_s(self._clock(), n_later=n_later, known_row_s=known_row_s, wrong_s=wrong_s)

    def finish(self) -> None:
        """Commit what is left, hand the rest back and end the lease; also right for a runner that never started."""
        results = self._drain(self._running) if self._running is not None else NOTHING
        if self._is_given_up:  # what a call raises once it was told so may be for that: its rows go back
            results = joined((self._given, _without(results, union(map(_raised, results.outcomes)))))
        if self.is_lost:
            return
        self._checkpointer.commit(results, is_last=True, ended=self._ended or None)

    def _present(self) -> Running:
        assert self._running is not None, "start() comes first"  # noqa: S101
        return self._running

    def _tick_s(self, work: Work) -> float:
        return min(self._limits.worker.tick_s, (work.timeout_s or math.inf) / 4, self.lease.lease_s / 6)

    # --- one execution after the other -----------------------------------------------------------

    def _begin(self, work: Work) -> None:
        isolating = self._isolating if work.is_suspect else None
        is_isolated = isolating is not None and isolating is not self._executor
        now, known_row_s = self._clock(), self._timer.row_s(self.lease.job)
        self._outlook = first_outlook(
            now,
            n_ended=self.n_finished,
            n_rows=len(work.rows),
            known_row_s=None if is_isolated else known_row_s,
            least_s=self._limits.task.least_s,
        )
        self._running = Running(work, is_isolated=is_isolated, now=now)
        self._running.begin(isolating or self._executor)

    def _is_wasted(self, running: Running, now: float) -> bool:
        """Whether the calls in progress are wanted no more, and had their time to end after they were told."""
        since = running.unwanted_since(NONE if self.is_lost else self.lease.rows, now=now)
        heeds = running.execution.is_killable and running.work.handler.takes_context
        return since is not None and now - since >= (self._grace_s if heeds or not self.is_lost else 0.0)

    def _leave(self, running: Running) -> bool:
        """Leave the calls in progress to themselves, or kill them; return whether that was all there is to run."""
        running.execution.abandon()
        if self.is_lost:
            return True
        self._checkpointer.commit(self._drain(running), progress=())
        self._later.insert(0, replace(running.work, rows=running.left()))
        return not self._begin_next(running)

    def _goes_no_further(self, running: Running) -> bool:
        """Return whether the lease is over with the execution that has just ended."""
        if running.execution.crash:
            self._resume(running, "WorkerCrashed", running.execution.crash)
        is_barren = self._n_barren >= self._limits.worker.barren_deaths
        if running.is_isolated and (running.execution.is_refused or is_barren):
            self.is_exposed = True
            running.buffer.drain()  # says only that they did not get there
            return True
        return not self._begin_next(running)

    def _begin_next(self, running: Running) -> bool:
        """Run what an earlier execution left, as far as the lease still holds it; return whether there is any."""
        if running.buffer.log and (self._later or running.is_isolated):
            self._checkpoint()
        if self._cleared:
            self._later.append(replace(self._work, rows=self._cleared, is_suspect=False))
            self._cleared = NONE
        while self._later and not (self.is_lost or self._is_handing_back):
            work = self._later.pop(0)
            if rows := work.rows & self.lease.rows:
                self._begin(replace(work, rows=rows))
                return True
        return False

    def _resume(self, running: Running, kind: str, message: str) -> None:
        """Charge whom the end of an execution is to be charged to, and plan to run the other rows again."""
        if not running.execution.crash:
            running.execution.abandon()
        incident = running.incident(n_barren=self._n_barren)
        results = self._drain(running)
        done, barren_deaths = results.all_rows() | self._cleared, self._limits.worker.barren_deaths
        verdict = blame(incident, done=done, held=self.lease.rows, barren_deaths=barren_deaths)
        self._n_barren = verdict.n_barren
        if running.is_isolated and verdict.n_barren:
            verdict = replace(verdict, charged=NONE)
        if verdict.charged and incident.is_crash and not verdict.n_barren:
            results = joined((results, self._death(running, verdict.charged, message)))
        elif verdict.charged:
            results = joined((results, self._retry(verdict.charged, kind, message)))
        self.n_finished += len(verdict.charged)
        self._checkpointer.commit(results, progress=())
        self._later[:0] = _plan(running.work, verdict)

    def _death(self, running: Running, rows: Rows, message: str) -> Results:
        """Charge a row with the death of its process, of which there may be `max_losses`."""
        n, most = self.lease.deaths(rows.first) + 1, self.lease.max_losses
        if n >= most:
            times = "once" if n == 1 else f"{n} times"
            message = f"its worker died {times} while it ran (max_losses={most}); the last time it {message}"
        is_certain = self.lease.is_alone or not running.execution.was_killed
        return Results.failed(
            rows, Verb.LOSE, lambda row: self._failure(row, "WorkerCrashed", message), is_certain=is_certain
        )

    def _retry(self, rows: Rows, kind: str, message: str) -> Results:
        return Results.failed(rows, Verb.RETRY, lambda row: self._failure(row, kind, message))

    def _failure(self, row: int, kind: str, message: str) -> Failure:
        attempt = self._work.attempt(row)
        return Failure(type=kind, message=message, traceback="", attempt=attempt, worker=self._work.worker)

    def _refusal(self, row: int, message: str) -> Failure:
        return self._failure(row, "SchemaError", message)

    # --- while it runs ---------------------------------------------------------------------------

    def _give_time(self, rows: Rows, seconds: float) -> None:
        """Let the call of these rows, which asks, in its own thread, go on for so long."""
        running = self._present()
        with running.asking():
            self._checkpointer.extend(rows, seconds)
            running.allow(self._clock() + seconds)

    def _look_after(self, running: Running, now: float) -> None:
        assert self._outlook is not None, "it has begun"  # noqa: S101
        if not running.has_started:
            self._outlook = replace(self._outlook, at=now)
        if self._outlook.is_due(now):
            self._share(running, self._outlook, now)
        if leaving := running.leaving():
            self._checkpoint(release=leaving)
        elif self.is_due:
            self._checkpoint()

    def _share(self, running: Running, outlook: Outlook, now: float) -> None:
        n_ended = self.n_finished + running.buffer.n_outcomes
        n_waiting = running.n_waiting
        target_s = self._limits.task.target_s
        self._outlook, keep = share(outlook, now=now, n_ended=n_ended, n_waiting=n_waiting, target_s=target_s)
        if keep < n_waiting:
            running.keep(keep)

    def _checkpoint(self, *, release: Rows = NONE) -> None:
        running = self._present()
        results = self._drain(running)
        progress = running.progress(self.lease.rows - results.all_rows())
        self._checkpointer.commit(results, release=release, progress=progress)
        if self.is_lost or not self.lease.rows:
            self._is_wasted(running, self._clock())  # tells the calls: before they see that they are to stop
            running.stop()
        elif running.waiting - self.lease.rows:
            running.keep(0)  # some were cancelled: none of those is to start, and the others go back

    def _drain(self, running: Running) -> Results:
        results = running.buffer.drain()
        if running.is_isolated:
            results, doubtful = _told_apart(results)
            self._cleared |= doubtful
        rows = results.all_rows()
        running.done |= rows
        self.n_finished += len(rows)
        return results


def _raised(one: Outcome) -> Rows:
    return one.rows if one.verb in {Verb.RETRY, Verb.FAIL} else NONE


def _told_apart(results: Results) -> tuple[Results, Rows]:
    """Return what holds of results that came from elsewhere than they should, and the rows that run again for theirs."""

    def is_doubtful(one: Outcome) -> bool:
        failure = results.failures.get(one.rows.first)
        return one.verb is Verb.RETRY or (failure is not None and not failure.is_raised)

    doubtful = union(one.rows for one in results.outcomes if is_doubtful(one))
    return _without(results, doubtful), doubtful


def _without(results: Results, rows: Rows) -> Results:
    """Leave out what became of some rows that have no value."""
    if not rows:
        return results
    outcomes = [replace(one, rows=left) for one in results.outcomes if (left := one.rows - rows)]
    failures = {row: failure for row, failure in results.failures.items() if row not in rows}
    return replace(results, outcomes=outcomes, failures=failures)


def _plan(work: Work, verdict: Verdict) -> list[Work]:
    """Return what is to be run after an incident: suspects by themselves, then what had passed, then the rest.

    The rest follows in smaller batches, as their size may have been the cause.
    """
    again = [
        replace(work, rows=rows, first_batch=len(rows), max_batch=len(rows))
        for rows in (*verdict.apart, verdict.passed)
    ]
    size = max(map(len, verdict.apart), default=work.max_batch)
    return [one for one in (*again, replace(work, rows=verdict.rest, max_batch=size)) if one.rows]
