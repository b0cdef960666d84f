"""Where running code lays its results, and where the committing side picks them up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from oqkit.queue.rows import Range, Rows
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure


@dataclass(frozen=True, slots=True)
class CallError:
    """A call that raised: what that does to the task, and what to tell about it (None: nothing)."""

    verb: Verb
    delay_s: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What a drain took."""

    rows: Sequence[int]
    values: list[Any]
    tables: list[tuple[Rows, Any]]
    errors: dict[int, CallError]

    def __bool__(self) -> bool:
        return bool(self.rows or self.tables or self.errors)


class Meter(Protocol):
    """The numbers of a buffer: a list, or memory that a child process shares, so that they outlive it."""

    def __getitem__(self, cell: int, /) -> int: ...
    def __setitem__(self, cell: int, value: int, /) -> None: ...
    def __iter__(self) -> Iterator[int]: ...


LIMIT, TAKEN, CALLS, BUSY_FIRST, BUSY_STOP, OVER = range(6)
"""The cells of a `Meter`."""
N_CELLS = 6


class ResultBuffer:
    """Written by the one thread that runs a lease, drained by the one that commits it.

    Python's atomic list operations are all the locking there is. Values come in the order of rows that
    was announced, where no row has both a value and a call_error, and a call_error is laid before the values
    that follow it; or in any order, each before its row is appended to `rows`.
    """

    __slots__ = ("_missed", "_order", "_passed", "errors", "fence_s", "meter", "rows", "tables", "values")

    def __init__(self, *, limit: int) -> None:
        self.meter: Meter = [limit] + [0] * (N_CELLS - 1)
        self.fence_s = 0.0
        """How long a lowered limit may go unseen by the runner after `limit` was set, in seconds."""
        self.rows: list[int] = []
        """Whose the values are; empty for values in order."""
        self.values: list[Any] = []
        self.tables: list[tuple[Rows, Any]] = []
        self.errors: dict[int, CallError] = {}
        self._order: Sequence[int] | None = None
        self._passed = 0
        """How many rows of the order were drained."""
        self._missed: set[int] = set()

    def in_order(self, rows: Sequence[int]) -> None:
        """Announce that the values of these rows come in this order, but for rows that get a call_error instead."""
        self._order = rows

    @property
    def limit(self) -> int:
        """Positions from here on must not be started; may be lowered at any time.

        Once it is lowered, `taken` tells for good which positions beyond it were started before.
        """
        return self.meter[LIMIT]

    @limit.setter
    def limit(self, value: int) -> None:
        is_lower = value < self.meter[LIMIT]
        self.meter[LIMIT] = value
        if is_lower and self.fence_s:
            time.sleep(self.fence_s)

    @property
    def taken(self) -> int:
        """Positions below were started. Set before `limit` is looked at, so that whoever lowers the limit knows."""
        return self.meter[TAKEN]

    @taken.setter
    def taken(self, value: int) -> None:
        self.meter[TAKEN] = value

    @property
    def calls(self) -> int:
        """Counts the calls of functions that take many rows at once."""
        return self.meter[CALLS]

    @property
    def busy(self) -> Range:
        """The positions of the batch call in progress; an empty range between calls."""
        return self.meter[BUSY_FIRST], self.meter[BUSY_STOP]

    @property
    def is_over(self) -> bool:
        """Whether the last call has ended."""
        return bool(self.meter[OVER])

    @is_over.setter
    def is_over(self, value: bool) -> None:
        self.meter[OVER] = int(value)

    @property
    def n_outcomes(self) -> int:
        """How many rows there are to drain."""
        return len(self.values) + len(self.errors) + sum(len(rows) for rows, _ in self.tables)

    def begin_call(self, first: int, stop: int) -> None:
        """Note that a call with the positions ``first <= position < stop`` starts now."""
        meter = self.meter
        meter[BUSY_STOP] = 0  # whatever moment the process dies at, nobody is blamed for another's call
        meter[BUSY_FIRST] = first
        meter[CALLS] += 1
        meter[BUSY_STOP] = stop

    def end_call(self) -> None:
        """Note that no call is in progress."""
        self.meter[BUSY_STOP] = 0

    def mark(self) -> tuple[int, int]:
        """Return something that changes with every call."""
        return self.meter[TAKEN], self.meter[CALLS]

    def drain(self) -> Load:
        """Take everything that is complete."""
        n = len(self.rows) if self._order is None else len(self.values)
        values = self.values[:n]
        del self.values[:n]
        tables = [self.tables.pop(0) for _ in range(len(self.tables))]
        failed = list(self.errors)  # after the values were counted: all that come before them are in it
        rows = self._next(n, failed)
        return Load(rows, values, tables, {row: self.errors.pop(row) for row in failed})

    def _next(self, n: int, failed: Sequence[int]) -> Sequence[int]:
        """Return whose the next `n` values are."""
        if self._order is None:
            told = self.rows[:n]
            del self.rows[:n]
            return _packed(told)
        self._missed.update(failed)
        if not self._missed:
            self._passed += n
            return self._order[self._passed - n : self._passed]
        rows: list[int] = []
        while len(rows) < n:
            row = self._order[self._passed]
            self._passed += 1
            if row not in self._missed:
                rows.append(row)
        return _packed(rows)


def _packed(rows: Sequence[int]) -> Sequence[int]:
    """Return distinct `rows` as a `range` if they follow each other in order: that says the same in no space."""
    if not rows or isinstance(rows, range):
        return rows
    span = range(rows[0], rows[-1] + 1)
    return span if len(span) == len(rows) and list(span) == rows else rows
