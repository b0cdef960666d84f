"""One lease being worked off: started, watched, checkpointed, ended.

A stint owns the lease's clock. Its `step` is called again and again by the slot's thread while the
work itself runs elsewhere; everything that must happen in time happens there: calls that run past
their time-out are given up, results so far are committed, the lease is extended, rows that would
take too long are handed back for others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from oqkit.errors import LeaseLost, Unavailable
from oqkit.queue.lease import HeldLease
from oqkit.queue.part import Outcome
from oqkit.queue.run import Range, count, ranges_of, rows_of
from oqkit.queue.transition import Verb
from oqkit.worker.codec import Codec, Finished, Packed
from oqkit.worker.executor import Execution, Executor
from oqkit.worker.failure import Failure
from oqkit.worker.pace import TARGET_S, Pace
from oqkit.worker.run import Work
from oqkit.worker.tray import Load, Mishap, Tray

log = logging.getLogger(__name__)

FIRST_CHECK_S = 1.0
TICK_S = 0.25
STORE_PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """A commit on its way: kept until it is known to have arrived or to be impossible."""

    outcomes: tuple[Outcome, ...]
    packed: Packed
    release: tuple[Range, ...]
    is_last: bool


class Stint:
    """The work of one lease."""

    def __init__(self, lease: HeldLease, work: Work, *, codec: Codec, executor: Executor, pace: Pace) -> None:
        self.lease = lease
        self._work = work
        self._codec = codec
        self._executor = executor
        self._pace = pace
        self._clock: Callable[[], float] = lease.monotonic
        self._tray = Tray(limit=len(work.rows))
        self._execution: Execution | None = None
        self._left = work.rows
        self._n_finished = 0
        self._started = self._committed = self._mark_since = 0.0
        self._mark = (0, 0)
        self._is_checked = False
        self._is_given_up = False
        self.is_lost = False

    # --- running ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to run."""
        self._started = self._committed = self._mark_since = self._clock()
        self._is_checked = self._pace.row_s(self.lease.job) is not None
        self._execution = self._executor.start(self._work, self._tray)

    def step(self) -> bool:
        """Wait a moment, do what is due, and return whether the running is over; then call `finish`."""
        execution = self._running()
        over = execution.finished.wait(self._tick_s())
        if self.is_lost or self._is_given_up:
            return True
        if over and not execution.crash:
            return True
        now = self._clock()
        if over:
            self._resume(Mishap(Verb.RETRY, failure=self._failure("WorkerCrashed", execution.crash)))
        elif self._is_overdue(now):
            execution.abandon()
            text = f"still running after its time-out of {self._work.timeout_s:g} s"
            self._resume(Mishap(Verb.RETRY, failure=self._failure("TimeoutError", text)))
        elif not self._is_checked and now - self._started >= FIRST_CHECK_S:
            self._is_checked = True
            self._trim(now)
        elif now - self._committed >= self.lease.lease_s / 3:
            self._checkpoint()
        return self.is_lost

    def hand_back(self) -> None:
        """Start nothing more; what was not started goes back with `finish`."""
        self._tray.limit = min(self._tray.limit, self._tray.taken)

    def give_up(self) -> None:
        """Leave even the call in progress."""
        self._is_given_up = True
        self._running().abandon()

    def remaining_s(self) -> float:
        """Estimate how long the rest takes, in seconds; infinite while nothing is known."""
        row_s = self._pace.row_s(self.lease.job)
        if row_s is None:
            return math.inf
        done = self._clock() - self._started
        return max(0.0, len(self._work.rows) * row_s - done)

    def finish(self) -> None:
        """Commit what is left, hand the rest back and end the lease; also right for a stint that never started."""
        elapsed_s = self._clock() - self._started
        load = self._tray.drain()
        n_rows = self._n_finished + _size(load)
        if not self.is_lost:
            self._commit(load, is_last=True)
            self._pace.learn(self.lease.job, n_rows=n_rows, elapsed_s=elapsed_s)

    def _running(self) -> Execution:
        assert self._execution is not None, "start() comes first"  # noqa: S101
        return self._execution

    def _tick_s(self) -> float:
        timeout_s = self._work.timeout_s or math.inf
        first = FIRST_CHECK_S if not self._is_checked else math.inf
        return min(TICK_S, timeout_s / 4, self.lease.lease_s / 6, first)

    # --- time-outs and crashes -------------------------------------------------------------------

    def _is_overdue(self, now: float) -> bool:
        mark = self._tray.mark()
        if mark != self._mark:
            self._mark, self._mark_since = mark, now
        timeout_s = self._work.timeout_s
        return timeout_s is not None and not self._work.handler.is_async and now - self._mark_since >= timeout_s

    def _resume(self, mishap: Mishap) -> None:
        """Charge `mishap` to the call in progress and run the other rows in a new execution.

        A batch call is first tried again in halves, to find the row that is to blame.
        """
        tray, work = self._tray, self._work
        busy = tray.busy if work.handler.is_batch else work.rows[max(tray.taken - 1, 0) : tray.taken]
        load = tray.drain()
        done = set(load.rows) | set(load.mishaps) | {row for ranges, _ in load.tables for row in rows_of(ranges)}
        blamed = [row for row in busy if row not in done] if len(busy) == 1 else []
        load.mishaps.update(dict.fromkeys(blamed, mishap))
        self._commit(load, is_last=False)
        self._n_finished += _size(load)
        limit = max(tray.limit, tray.taken) if tray.limit < len(work.rows) else len(work.rows)
        left = tuple(row for row in work.rows[:limit] if row not in done and row not in blamed)
        batch = max(1, len(busy) // 2) if len(busy) > 1 else work.max_batch
        self._work = replace(work, rows=left, first_batch=batch, max_batch=batch)
        self._tray = Tray(limit=0 if self.is_lost else len(left))
        self._mark, self._mark_since = (0, 0), self._clock()
        self._execution = self._executor.start(self._work, self._tray)

    def _failure(self, kind: str, message: str) -> Failure:
        busy = self._tray.busy or self._work.rows[max(self._tray.taken - 1, 0) : self._tray.taken] or self._work.rows
        attempt = self._work.attempt(busy[0])
        return Failure(type=kind, message=message, traceback="", attempt=attempt, worker=self._work.worker)

    # --- commits ---------------------------------------------------------------------------------

    def _trim(self, now: float) -> None:
        """Keep what is worth a lease and hand the rest back, now that there is something to estimate it by."""
        tray, rows = self._tray, self._work.rows
        row_s = (now - self._started) / max(tray.taken, 1)
        keep = max(1, int(TARGET_S / row_s))
        if len(rows) - tray.taken <= 2 * keep:
            return
        tray.limit = tray.taken + keep
        tray.limit = max(tray.limit, tray.taken)
        self._checkpoint(release=ranges_of(rows[max(tray.limit, tray.taken) :]))

    def _checkpoint(self, *, release: tuple[Range, ...] = ()) -> None:
        load = self._tray.drain()
        self._n_finished += _size(load)
        self._commit(load, is_last=False, release=release)
        if not self.is_lost and not self.lease.rows:
            self._tray.limit = 0  # all cancelled: nobody wants the rest

    def _commit(self, load: Load, *, is_last: bool, release: tuple[Range, ...] = ()) -> None:
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

    def _pack(self, load: Load, *, is_last: bool, release: tuple[Range, ...]) -> Flight:
        failures = {row: one.failure for row, one in load.mishaps.items() if one.failure is not None}
        skipped = [row for row, one in load.mishaps.items() if one.verb is Verb.COMPLETE]
        finished = Finished(
            rows=[*load.rows, *skipped],
            values=[*load.values, *(None for _ in skipped)],
            tables=load.tables,
            failures=failures,
        )
        packed = self._codec.pack(finished, refuse=self._refusal) if _size(load) else Packed()
        return Flight(
            outcomes=_outcomes(load, packed, skipped), packed=packed, release=release, is_last=is_last
        )

    def _refusal(self, row: int, message: str) -> Failure:
        attempt = self._work.attempt(row)
        return Failure(type="SchemaError", message=message, traceback="", attempt=attempt, worker=self._work.worker)


def _size(load: Load) -> int:
    return len(load.rows) + len(load.mishaps) + sum(count(ranges) for ranges, _ in load.tables)


def _outcomes(load: Load, packed: Packed, skipped: list[int]) -> tuple[Outcome, ...]:
    """Say what became of each row, rows of one fate together; refused values are the function's fault: no retry."""
    in_tables = [row for ranges, _ in load.tables for row in rows_of(ranges)]
    completed = [row for row in (*load.rows, *skipped, *in_tables) if row not in packed.refused]
    groups: dict[tuple[Verb, float, str], list[int]] = {(Verb.COMPLETE, 0.0, ""): completed}
    for row, one in load.mishaps.items():
        if one.verb is not Verb.COMPLETE:
            note = f"{one.failure.type}: {one.failure.message}"[:120] if one.failure else ""
            groups.setdefault((one.verb, one.delay_s, note), []).append(row)
    groups.setdefault((Verb.FAIL, 0.0, "the returned value cannot be stored"), []).extend(packed.refused)
    return tuple(
        Outcome(verb=verb, rows=ranges_of(rows), delay_s=delay_s, note=note)
        for (verb, delay_s, note), rows in groups.items()
        if rows
    )
