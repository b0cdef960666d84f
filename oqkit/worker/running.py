"""Some rows of a lease while they are run: what was started, what is late, what goes back to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oqkit.queue.progress import MAX_ENTRIES, Progress
from oqkit.queue.rows import NONE, Rows
from oqkit.worker.blame import Incident
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import Work
from oqkit.worker.executor import Execution, Executor


class Running:
    """One execution, seen from the thread that looks after it; `begin` starts it."""

    execution: Execution

    def __init__(self, work: Work, *, is_isolated: bool, now: float) -> None:
        self.work = work
        self.is_isolated = is_isolated
        """Whether it runs elsewhere than the worker's work does by rights, because it may kill its process."""
        self.buffer = ResultBuffer(limit=len(work.rows))
        self.limit = len(work.rows)
        """Positions from here on are not to be started."""
        self._mark, self._mark_since = (0, 0), now
        self._allowance = (self._mark, now)
        """A call, by its mark, and until when it may go on although its time-out is over."""
        self._asking: set[object] = set()
        """Calls that wait for the answer to something they asked of the worker."""
        self._leaving: tuple[int, int] | None = None
        self.done = NONE
        """Rows whose outcome was taken from the buffer."""
        self._unwanted_since: float | None = None
        self._notes: dict[int, Progress] = {}

    def begin(self, executor: Executor) -> None:
        """Start it: from now on its calls may ask for something."""
        self.execution = executor.start(self.work, self.buffer)

    @property
    def has_started(self) -> bool:
        """Whether a row was started; before, code is loaded, or a child process starts."""
        return self.buffer.taken > 0

    @property
    def waiting(self) -> Rows:
        """The rows that are to be run here, and were not started."""
        return self.work.rows[self.buffer.taken : max(self.limit, self.buffer.taken)]

    @property
    def n_waiting(self) -> int:
        """How many rows were not started."""
        return max(0, self.limit - self.buffer.taken)

    def is_overdue(self, now: float) -> bool:
        """Whether a call goes on for longer than it may."""
        buffer, timeout_s, handler = self.buffer, self.work.timeout_s, self.work.handler
        mark = buffer.mark()
        is_calling = buffer.busy[1] > 0 if handler.is_batch else buffer.taken > 0
        if mark != self._mark or not is_calling or buffer.is_over:  # loading code or inputs, or sending results
            self._mark, self._mark_since = mark, now
        if timeout_s is None or self._asking:
            return False
        # Coroutines have a time-out of their own, within which all in progress must end: unless one blocks the others.
        patience_s = 2 * timeout_s + self.work.limits.blocked_s if handler.is_async else timeout_s
        allowed, until = self._allowance
        return now - self._mark_since >= patience_s and not (now < until and (handler.is_async or allowed == mark))

    def allow(self, until: float) -> None:
        """Let the call in progress, which asks for it, go on until then."""
        mark, (allowed, before) = self.buffer.mark(), self._allowance
        self._allowance = mark, max(until, before) if self.work.handler.is_async or allowed == mark else until

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Let no time-out end while a call waits for the answer of its worker, which may have to wait for the store."""
        call = object()
        self._asking.add(call)
        try:
            yield
        finally:
            self._asking.discard(call)

    def forgive(self, late_s: float) -> None:
        """Do not count it against the call in progress if this whole process stood still: it was stopped, or slept."""
        if late_s > self.work.limits.stood_still_s:
            self._mark_since += late_s

    def keep(self, n_rows: int) -> None:
        """Start at most `n_rows` more; `leaving` tells which rows that leaves to others."""
        first, stop = min(self.buffer.taken + n_rows, self.limit), self.limit
        self._leaving = (first, stop) if self._leaving is None else (first, self._leaving[1])
        self.limit = first
        self.execution.stop(first)

    def leaving(self) -> Rows:
        """Return, once, the rows that are sure not to be started; none while that is not known."""
        if self._leaving is None or (taken := self.execution.stopped()) is None:
            return NONE
        (first, stop), self._leaving = self._leaving, None
        self.limit = max(first, taken)
        return self.work.rows[self.limit : stop]

    def unwanted_since(self, held: Rows, *, now: float) -> float | None:
        """Let calls know whose rows are not `held` any more; return since when no other goes on, None if one does."""
        current = self._in_progress()
        if news := current - held - self.buffer.unwanted:
            self.execution.disown(news)
        if not current or current & held:
            self._unwanted_since = None
        elif self._unwanted_since is None:
            self._unwanted_since = now
        return self._unwanted_since

    def _in_progress(self) -> Rows:
        """Return the rows of calls that go on, as far as is known here."""
        buffer, handler, rows = self.buffer, self.work.handler, self.work.rows
        if handler.is_batch:
            return rows[slice(*buffer.busy)] - self.done
        return rows[0 if handler.is_async else max(0, buffer.taken - 1) : buffer.taken] - self.done

    def left(self) -> Rows:
        """Return the rows that this is to run, and others have not been left to, if it does not get there."""
        return self.work.rows[: max(self.limit, self.buffer.taken)] - self.done

    def progress(self, unfinished: Rows) -> tuple[Progress, ...]:
        """Return how far the calls in progress are, by what they said last; the newest if there are many."""
        self._notes = {
            row: one for row, one in {**self._notes, **self.buffer.drain_notes()}.items() if one.rows & unfinished
        }
        return tuple(self._notes.values())[-MAX_ENTRIES:]

    def stop(self) -> None:
        """Start nothing more; what that leaves goes back when the lease ends."""
        self._leaving, self.limit = None, 0
        self.execution.stop(0)

    def incident(self, *, n_barren: int) -> Incident:
        """Describe how it ended before its time."""
        buffer, handler, is_crash = self.buffer, self.work.handler, bool(self.execution.crash)
        return Incident(
            rows=self.work.rows,
            limit=self.limit,
            taken=buffer.taken,
            busy=buffer.busy,
            is_batch=handler.is_batch,
            is_async=handler.is_async,
            is_crash=is_crash,
            has_moved_on=buffer.mark() != self._mark,
            n_barren=n_barren,
        )
