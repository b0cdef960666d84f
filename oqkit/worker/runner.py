"""One lease being worked off: started, watched, checkpointed, ended.

A runner owns the lease's clock. Its `step` is called again and again by the slot's thread while the
work itself runs elsewhere; everything that must happen in time happens there: calls that run past
their time-out are given up, results so far are committed, the lease is extended, rows that would
take too long are handed back for others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from oqkit.claim.lease import HeldLease
from oqkit.errors import LeaseLost, Unavailable
from oqkit.queue.part import Outcome
from oqkit.queue.rows import NONE, Rows, union
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure
from oqkit.task.timer import LEAST_S, TARGET_S, RowTimer
from oqkit.worker.buffer import CallError, Load, ResultBuffer
from oqkit.worker.call import Work, overdue
from oqkit.worker.executor import Execution, Executor
from oqkit.worker.interface import Codec, Finished, Packed

log = logging.getLogger(__name__)

WRONG_S = 5.0
TICK_S = 0.25
STORE_PATIENCE_S = 600.0
BARREN = 3
BLOCKED_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A commit on its way: kept until it is known to have arrived or to be impossible."""

    outcomes: tuple[Outcome, ...]
    packed: Packed
    release: Rows
    is_last: bool


class LeaseRunner:
    """The work of one lease."""

    def __init__(self, lease: HeldLease, work: Work, *, codec: Codec, executor: Executor, timer: RowTimer) -> None:
        self.lease = lease
        self._work = work
        self._codec = codec
        self._executor = executor
        self._timer = timer
        self._clock: Callable[[], float] = lease.monotonic
        self._buffer = ResultBuffer(limit=len(work.rows))
        self._execution: Execution | None = None
        self._later: list[Work] = []
        self._n_barren = 0
        self.n_finished = 0
        self._started = self._ended = self._told = self._mark_since = self._checked = self._patience_s = 0.0
        self._committed = self._clock()
        self._mark = (0, 0)
        self._row_s: float | None = None
        self._n_checked = self._n_left = 0
        self._is_handing_back = False
        self._is_given_up = False
        self.is_lost = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to extend the lease: a third of it is over, also if nothing was started yet."""
        return self._clock() - self._committed >= self.lease.lease_s / 3

    # --- running ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to run."""
        self._started = self._told = self._clock()
        self._begin(self._work)

    def step(self) -> bool:
        """Wait a moment, do what is due, and return whether the running is over; then call `finish`."""
        is_over = self._step()
        if is_over:
            self._ended = self._clock()
        return is_over

    def _step(self) -> bool:
        execution = self._running()
        over = execution.finished.wait(self._tick_s())
        if self.is_lost or self._is_given_up:
            return True
        now = self._clock()
        if over:
            if execution.crash:
                self._resume("WorkerCrashed", execution.crash)
            return not self._begin_next()
        if self._is_overdue(now):
            self._resume("TimeoutError", overdue(self._work.timeout_s))
            return not self._begin_next()
        if not self._buffer.taken:  # code is loaded, or a child process starts
            self._checked = now
        if now - self._checked >= self._patience_s:
            self._share(now)
        elif self.is_due:
            self._checkpoint()
        return self.is_lost

    def hand_back(self) -> None:
        """Start nothing more; what was not started goes back with `finish`."""
        self._is_handing_back = True
        self._buffer.limit = 0

    def give_up(self) -> None:
        """Leave even the call in progress."""
        self._is_given_up = True
        self._running().abandon()

    def remaining_s(self) -> float:
        """Estimate how long the rest takes, in seconds; infinite while nothing is known, or what was known is wrong."""
        row_s = self._row_s or self._timer.row_s(self.lease.job)
        if row_s is None:
            return math.inf
        n_rows = self._n_left + sum(len(work.rows) for work in self._later)
        left_s = n_rows * row_s - (self._clock() - self._checked)
        return math.inf if left_s < -WRONG_S else max(0.0, left_s)

    def finish(self) -> None:
        """Commit what is left, hand the rest back and end the lease; also right for a runner that never started."""
        load = self._buffer.drain()
        self.n_finished += _size(load)
        if not self.is_lost:
            self._commit(load, is_last=True)
            self._timer.learn(self.lease.job, n_rows=self.n_finished, elapsed_s=self._ended - self._started)

    def _running(self) -> Execution:
        assert self._execution is not None, "start() comes first"  # noqa: S101
        return self._execution

    def _tick_s(self) -> float:
        timeout_s = self._work.timeout_s or math.inf
        return min(TICK_S, timeout_s / 4, self.lease.lease_s / 6)

    # --- time-outs and crashes -------------------------------------------------------------------

    def _begin(self, work: Work) -> None:
        self._work = work
        self._buffer = ResultBuffer(limit=len(work.rows))
        self._mark, self._mark_since = (0, 0), self._clock()
        self._row_s = None
        self._checked, self._n_checked, self._n_left = self._mark_since, self.n_finished, len(work.rows)
        self._patience_s = max(LEAST_S, len(work.rows) * (self._timer.row_s(self.lease.job) or 0.0))
        self._execution = self._executor.start(work, self._buffer)

    def _begin_next(self) -> bool:
        """Run what an earlier execution left, as far as the lease still holds it; return whether there is any."""
        if not self._later or self.is_lost or self._is_handing_back:
            return False
        buffer = self._buffer
        if buffer.n_outcomes:
            self._checkpoint()
        held = set(self.lease.rows)
        while self._later and not self.is_lost:
            work = self._later.pop(0)
            rows = tuple(row for row in work.rows if row in held)
            if rows:
                self._begin(replace(work, rows=rows))
                return True
        return False

    def _is_overdue(self, now: float) -> bool:
        buffer, timeout_s, handler = self._buffer, self._work.timeout_s, self._work.handler
        mark = buffer.mark()
        is_calling = buffer.busy[1] > 0 if handler.is_batch else buffer.taken > 0
        if mark != self._mark or not is_calling or buffer.is_over:  # loading code or inputs, or sending results
            self._mark, self._mark_since = mark, now
        if timeout_s is None:
            return False
        # Coroutines have a time-out of their own, within which all in progress must end: unless one blocks the others.
        patience_s = 2 * timeout_s + BLOCKED_S if handler.is_async else timeout_s
        return now - self._mark_since >= patience_s

    def _resume(self, kind: str, message: str) -> None:
        """Charge the call in progress with the end of its execution, and plan to run the other rows again.

        Of many rows in progress none can be blamed yet: each half of them runs by itself, and so on
        down to one row. The rest follows, in smaller batches, as their size may have been the cause.
        """
        buffer, work, limit = self._buffer, self._work, self._buffer.limit
        if not self._running().crash:
            self._running().abandon()
        suspects, load = self._suspects(), buffer.drain()
        held = set(self.lease.rows).difference(_rows(load))
        suspects = [row for row in suspects if row in held]
        left = [row for row in work.rows[: max(limit, buffer.taken)] if row in held]
        self._n_barren = 0 if load or suspects else self._n_barren + 1
        blamed = left if self._n_barren >= BARREN else suspects if len(suspects) == 1 else []
        load.errors.update({row: CallError(Verb.RETRY, failure=self._failure(row, kind, message)) for row in blamed})
        self.n_finished += _size(load)
        self._commit(load, is_last=False)
        self._later[:0] = _plan(work, suspects, set(left).difference(suspects, blamed))

    def _suspects(self) -> Sequence[int]:
        """Return the rows that were, or may have been, in progress when the execution ended."""
        buffer, work = self._buffer, self._work
        if buffer.mark() != self._mark and not self._running().crash:
            return ()  # the call that was overdue has ended after all
        if work.handler.is_batch:
            return work.rows[slice(*buffer.busy)]
        first = 0 if work.handler.is_async else buffer.taken - 1
        return work.rows[max(first, 0) : buffer.taken]

    def _failure(self, row: int, kind: str, message: str) -> Failure:
        attempt = self._work.attempt(row)
        return Failure(type=kind, message=message, traceback="", attempt=attempt, worker=self._work.worker)

    # --- commits ---------------------------------------------------------------------------------

    def _share(self, now: float) -> None:
        """Hand back what is too much for a lease, at the first look half of what waits, unless that is soon done.

        It is judged by the time since the last look; if not even one call has ended in it, all goes back.
        """
        buffer = self._buffer
        n_ended = self.n_finished + buffer.n_outcomes
        row_s = (now - self._checked) / (n_ended - self._n_checked) if n_ended > self._n_checked else math.inf
        stop, taken = buffer.limit, buffer.taken  # read once, since the runner goes on meanwhile
        n_left = max(0, stop - taken)
        keep = min(n_left // 2 if self._row_s is None else n_left, int(TARGET_S / row_s))
        if n_left == 0 or (n_left - keep) * row_s < self._patience_s:
            keep = n_left
        self._row_s, self._n_left = row_s, keep + 1
        self._checked, self._n_checked, self._patience_s = now, n_ended, min(2 * self._patience_s, TARGET_S)
        if keep < n_left:
            buffer.limit = taken + keep
            self._checkpoint(release=Rows.of(self._work.rows[max(buffer.limit, buffer.taken) : stop]))

    def _checkpoint(self, *, release: Rows = NONE) -> None:
        load = self._buffer.drain()
        self.n_finished += _size(load)
        self._commit(load, is_last=False, release=release)
        if not self.is_lost and not self.lease.rows:
            self._buffer.limit = 0  # all cancelled: nobody wants the rest

    def _commit(self, load: Load, *, is_last: bool, release: Rows = NONE) -> None:
        self._committed = self._clock()
        flight = self._pack(load, is_last=is_last, release=release)
        end = self._clock() + STORE_PATIENCE_S
        while not self.is_lost:
            try:
                self._send(flight)
            except LeaseLost:
                self._lose()
            except Unavailable as error:
                log.warning("the store does not answer; results of lease %s wait here: %s", self.lease.id, error)
                if self._clock() >= end:
                    self._lose()
            else:
                return

    def _send(self, flight: Flight) -> None:
        packed = flight.packed
        if packed.data is not None:
            self.lease.put_output(packed.data)
        self.lease.commit(
            flight.outcomes,
            output=packed.inline,
            has_output=packed.data is not None or packed.inline is not None,
            release=flight.release,
            is_last=flight.is_last,
        )

    def _lose(self) -> None:
        log.warning("lease %s was taken over: its results are not used", self.lease.id)
        self.is_lost = True
        if self._execution is not None:
            self._execution.abandon()

    def _pack(self, load: Load, *, is_last: bool, release: Rows) -> Flight:
        failures = {row: one.failure for row, one in load.errors.items() if one.failure is not None}
        skipped = [row for row, one in load.errors.items() if one.verb is Verb.COMPLETE]
        finished = Finished(
            rows=[*load.rows, *skipped] if skipped else load.rows,
            values=[*load.values, *(None for _ in skipped)] if skipped else load.values,
            tables=load.tables,
            failures=failures,
        )
        packed = self._codec.pack(finished, refuse=self._refusal) if _size(load) else Packed()
        outcomes = _outcomes(load, packed, skipped, took_s=self._took_s())
        return Flight(outcomes=outcomes, packed=packed, release=release, is_last=is_last)

    def _took_s(self) -> float:
        """Return how long was run since this was last asked."""
        before, self._told = self._told, self._ended or self._clock()
        return round(self._told - before, 6)

    def _refusal(self, row: int, message: str) -> Failure:
        return self._failure(row, "SchemaError", message)


def _plan(work: Work, suspects: Sequence[int], rest: set[int]) -> list[Work]:
    """Divide what is left of `work`: the halves of `suspects`, if they are more than one, and the rest."""
    n = (len(suspects) + 1) // 2
    halves = [tuple(suspects[:n]), tuple(suspects[n:])] if len(suspects) > 1 else []
    again = [replace(work, rows=rows, first_batch=len(rows), max_batch=len(rows)) for rows in halves]
    size = n if halves else work.max_batch
    return [*again, replace(work, rows=tuple(sorted(rest)), max_batch=size)]


def _rows(load: Load) -> list[int]:
    return [*load.rows, *load.errors, *(row for rows, _ in load.tables for row in rows)]


def _size(load: Load) -> int:
    return len(load.rows) + len(load.errors) + sum(len(rows) for rows, _ in load.tables)


def _outcomes(load: Load, packed: Packed, skipped: list[int], *, took_s: float) -> tuple[Outcome, ...]:
    """Say what became of each row, rows of one fate together; refused values are the function's fault: no retry."""
    kept = [row for row in load.rows if row not in packed.refused] if packed.refused else load.rows
    completed = union((Rows.of(kept), Rows.of(skipped), *(rows for rows, _ in load.tables)))
    fates: dict[tuple[Verb, float], list[int]] = {}
    for row, one in load.errors.items():
        if one.verb is not Verb.COMPLETE:
            fates.setdefault((one.verb, one.delay_s), []).append(row)
    outcomes = [
        Outcome(verb=verb, rows=Rows.of(rows), delay_s=delay_s, note=_note(load, rows))
        for (verb, delay_s), rows in fates.items()
    ]
    if completed:
        outcomes.append(Outcome(verb=Verb.COMPLETE, rows=completed, took_s=took_s))
    if packed.refused:
        note = "the returned value cannot be stored"
        outcomes.append(Outcome(verb=Verb.FAIL, rows=Rows.of(packed.refused), note=note))
    return tuple(outcomes)


def _note(load: Load, rows: list[int]) -> str:
    failure = load.errors[rows[0]].failure
    others = f" (and {len(rows) - 1:,} others)" if len(rows) > 1 else ""
    return f"{failure.type}: {failure.message}"[:120] + others if failure else ""
