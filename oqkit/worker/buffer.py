"""Where running code lays its results, and where the committing side picks them up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    is_raised: bool = True
    """Whether the function itself raised it; otherwise its input or its value could not get where it had to."""
    is_certain: bool = True
    """Of a death: whether nothing but the row can have caused it."""


@dataclass(frozen=True, slots=True)
class Load:
    """Outcomes of some rows: values row by row, tables slice by slice, and errors."""

    rows: Sequence[int]
    values: list[Any]
    tables: list[tuple[Rows, Any]]
    errors: dict[int, CallError]

    def __bool__(self) -> bool:
        return bool(self.rows or self.tables or self.errors)

    @property
    def size(self) -> int:
        """How many rows it is about."""
        return len(self.rows) + len(self.errors) + sum(len(rows) for rows, _ in self.tables)

    def all_rows(self) -> list[int]:
        """Return the rows it is about, in no order."""
        return [*self.rows, *self.errors, *(row for rows, _ in self.tables for row in rows)]


class Meter(Protocol):
    """The numbers of a buffer: a list, or memory that a child process shares, so that they outlive it."""

    def __getitem__(self, cell: int, /) -> int: ...
    def __setitem__(self, cell: int, value: int, /) -> None: ...
    def __iter__(self) -> Iterator[int]: ...


LIMIT, TAKEN, CALLS, BUSY_FIRST, BUSY_STOP, OVER = range(6)
"""The cells of a `Meter`."""
N_CELLS = 6
_SPECIAL = frozenset({CallError, Load})


class ResultBuffer:
    """Written by the one thread that runs a lease, drained by the one that commits it.

    There is one log, which only grows at its end and is only cut at its beginning: two operations of a
    list that are atomic, so no lock is needed and nothing can come in another order than it was laid.
    """

    __slots__ = ("_order", "_passed", "log", "meter")

    def __init__(self, *, limit: int) -> None:
        self.meter: Meter = [limit] + [0] * (N_CELLS - 1)
        self.log: list[Any] = []
        """What was laid: a `Load`, or, for the next of the rows that were announced, its value or `CallError`."""
        self._order: Sequence[int] = ()
        self._passed = 0
        """How many of the announced rows were drained."""

    # --- the running side ------------------------------------------------------------------------

    def in_order(self, rows: Sequence[int]) -> None:
        """Announce that what is laid, but for loads, belongs to these rows, one after the other."""
        self._order = rows

    def lay(
        self,
        rows: Sequence[int] = (),
        values: Iterable[Any] = (),
        *,
        tables: Iterable[tuple[Rows, Any]] = (),
        errors: dict[int, CallError] | None = None,
    ) -> None:
        """Lay outcomes of any rows, in any order."""
        self.log.append(Load(rows, list(values), list(tables), errors or {}))

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

    # --- numbers ---------------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        """Positions from here on must not be started; may be lowered at any time, in the process that runs the rows.

        Once it is lowered, `taken` tells for good which positions beyond it were started before.
        """
        return self.meter[LIMIT]

    @limit.setter
    def limit(self, value: int) -> None:
        self.meter[LIMIT] = value

    @property
    def taken(self) -> int:
        """Positions below were started. Set before `limit` is looked at, so that whoever lowers the limit knows."""
        return self.meter[TAKEN]

    @taken.setter
    def taken(self, value: int) -> None:
        self.meter[TAKEN] = value

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

    def mark(self) -> tuple[int, int]:
        """Return something that changes with every call."""
        return self.meter[TAKEN], self.meter[CALLS]

    # --- the committing side ---------------------------------------------------------------------

    @property
    def n_outcomes(self) -> int:
        """How many rows there are to drain."""
        return sum(one.size if type(one) is Load else 1 for one in self.log)

    def drain(self) -> Load:
        """Take everything that was laid so far."""
        n = len(self.log)
        entries = self.log[:n]
        del self.log[:n]
        if _SPECIAL.isdisjoint(map(type, entries)):  # the common case, at a fiftieth of a microsecond an entry
            return Load(self._next(n), entries, [], {})
        loads = [one for one in entries if type(one) is Load]
        own = [one for one in entries if type(one) is not Load]
        rows = self._next(len(own))
        errors = {row: one for row, one in zip(rows, own, strict=True) if type(one) is CallError}
        if errors:
            rows = _packed([row for row in rows if row not in errors])
            own = [one for one in own if type(one) is not CallError]
        return _joined([Load(rows, own, [], errors), *loads])

    def _next(self, n: int) -> Sequence[int]:
        """Return whose the next `n` entries are."""
        self._passed += n
        return self._order[self._passed - n : self._passed]


def _joined(loads: Sequence[Load]) -> Load:
    loads = [load for load in loads if load] or loads[:1]
    if len(loads) == 1:
        return loads[0]
    return Load(
        _packed([row for load in loads for row in load.rows]),
        [value for load in loads for value in load.values],
        [table for load in loads for table in load.tables],
        {row: error for load in loads for row, error in load.errors.items()},
    )


def _packed(rows: Sequence[int]) -> Sequence[int]:
    """Return distinct `rows` as a `range` if they follow each other in order: that says the same in no space."""
    if not rows or isinstance(rows, range):
        return rows
    span = range(rows[0], rows[-1] + 1)
    return span if len(span) == len(rows) and list(span) == rows else rows
