"""Where running code lays its results, and where the committing side picks them up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from operator import is_
from typing import Any, Protocol

from oqkit.queue.commit import Outcome
from oqkit.queue.progress import Progress
from oqkit.queue.rows import NONE, Range, Rows, union
from oqkit.queue.transition import Verb
from oqkit.task.failure import Failure


@dataclass(frozen=True, slots=True)
class Many:
    """What one call returned that may be several rows of results: those of a frame, or, if it `explodes`, the items of a list."""

    value: Any
    explodes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What calls of a lease gave, each row once: values row by row, tables slice by slice, and what else became of rows."""

    rows: Rows = NONE
    """Those that have a value."""
    values: Sequence[Any] = ()
    """One for each of `rows`, in their order, a `Many` where it may be several; None for a row that asked to be skipped."""
    tables: Sequence[tuple[Rows, Any]] = ()
    """What batch calls returned, as `Codec.table` made it."""
    outcomes: Sequence[Outcome] = ()
    """What became of the other rows: they failed, or are to run again."""
    failures: Mapping[int, Failure] = field(default_factory=dict)
    """What to tell about those of them that raised, by row."""

    def __bool__(self) -> bool:
        return bool(self.rows or self.tables or self.outcomes)

    @classmethod
    def failed(cls, rows: Rows, verb: Verb, describe: Callable[[int], Failure], *, is_certain: bool = True) -> Results:
        """Return that `rows` failed, as `describe` says of each."""
        if not rows:
            return NOTHING
        failures = {row: describe(row) for row in rows}
        return cls(outcomes=(Outcome(verb=verb, rows=rows, is_certain=is_certain),), failures=failures)

    def only(self, rows: Rows) -> Results:
        """Return what it says of these rows; a table stays whole, so all of its rows must be among them, or none."""
        values = [value for row, value in zip(self.rows, self.values, strict=True) if row in rows]
        return Results(
            rows=self.rows & rows,
            values=values,
            tables=[(of, table) for of, table in self.tables if of & rows],
            outcomes=[replace(one, rows=one.rows & rows) for one in self.outcomes if one.rows & rows],
            failures={row: failure for row, failure in self.failures.items() if row in rows},
        )

    def sets(self) -> Iterator[Rows]:
        """Yield the rows it is about, as they lie here."""
        yield self.rows
        yield from (rows for rows, _ in self.tables)
        yield from (one.rows for one in self.outcomes)

    def all_rows(self) -> Rows:
        """Return the rows it is about."""
        return union(self.sets())


NOTHING = Results()


def joined(found: Sequence[Results]) -> Results:
    """Return results of different rows as one."""
    found = [one for one in found if one]
    if len(found) <= 1:
        return found[0] if found else NOTHING
    values: dict[int, Any] = {}
    for one in found:
        if one.rows:
            values.update(zip(one.rows, one.values, strict=True))
    rows = Rows.of(values)
    return Results(
        rows=rows,
        values=[values[row] for row in rows],
        tables=[table for one in found for table in one.tables],
        outcomes=[outcome for one in found for outcome in one.outcomes],
        failures={row: failure for one in found for row, failure in one.failures.items()},
    )


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

    There is one log, which only grows at its end and is only cut at its beginning: two operations of a
    list that are atomic, so no lock is needed and nothing can come in another order than it was laid.
    """

    __slots__ = ("_coming", "log", "meter", "notes", "unwanted")

    def __init__(self, *, limit: int) -> None:
        self.meter: Meter = [limit] + [0] * (N_CELLS - 1)
        self.log: list[Any] = []
        """What was laid: `Results`, or the value of the next of the rows that were announced."""
        self.notes: dict[int, Progress] = {}
        """How far calls said that they are, by their first row, since that was last taken."""
        self.unwanted = NONE
        """Rows whose outcome will not be used, set by whoever knows: their calls are to end."""
        self._coming = NONE
        """The announced rows of which nothing was drained."""

    # --- the running side ------------------------------------------------------------------------

    def in_order(self, rows: Rows) -> None:
        """Announce that the values that are appended to `log` belong to these rows, one after the other.

        A row for which results are laid has no value among them.
        """
        self._coming = rows

    def lay(self, results: Results) -> None:
        """Lay results of any rows."""
        self.log.append(results)

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
        return sum(len(one.all_rows()) if type(one) is Results else 1 for one in self.log)

    def drain_notes(self) -> dict[int, Progress]:
        """Take what calls said of their progress, the last word of each."""
        return {row: self.notes.pop(row) for row in tuple(self.notes)}

    def drain(self) -> Results:
        """Take everything that was laid so far."""
        n = len(self.log)
        entries = self.log[:n]
        del self.log[:n]
        if not any(map(is_, map(type, entries), repeat(Results))):  # the common case; a class need not be hashable
            return self._next(entries)
        laid = [one for one in entries if type(one) is Results]
        if self._coming:
            self._coming -= union(rows for one in laid for rows in one.sets())
        return joined([self._next([one for one in entries if type(one) is not Results]), *laid])

    def _next(self, values: list[object]) -> Results:
        """Return `values` with the rows that they belong to."""
        rows = self._coming.head(len(values))
        self._coming -= rows
        return Results(rows=rows, values=values)
