"""Where running code lays its results, and where the committing side picks them up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oqkit.queue.run import Range
from oqkit.queue.transition import Verb
from oqkit.worker.failure import Failure


@dataclass(frozen=True, slots=True)
class Mishap:
    """A call that raised: what that does to the task, and what to tell about it (None: nothing)."""

    verb: Verb
    delay_s: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What a drain took."""

    rows: list[int]
    values: list[Any]
    tables: list[tuple[tuple[Range, ...], Any]]
    mishaps: dict[int, Mishap]


@dataclass(slots=True)
class Tray:
    """Written by the one thread that runs a lease, drained by the one that commits it.

    Python's atomic list operations are all the locking there is: the runner appends a value before
    its row, so that every row on the tray has its value.
    """

    limit: int
    """Positions from here on must not be started; may be lowered at any time."""
    taken: int = 0
    """Positions below were started. Set before `limit` is looked at, so that whoever lowers the limit knows."""
    calls: int = 0
    """Counts the calls of functions that take many rows at once."""
    busy: tuple[int, ...] = ()
    """The rows of the batch call in progress."""
    rows: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    tables: list[tuple[tuple[Range, ...], Any]] = field(default_factory=list)
    mishaps: dict[int, Mishap] = field(default_factory=dict)

    def mark(self) -> tuple[int, int]:
        """Return something that changes with every call."""
        return self.taken, self.calls

    def drain(self) -> Load:
        """Take everything that is complete."""
        n = len(self.rows)
        rows, values = self.rows[:n], self.values[:n]
        del self.rows[:n], self.values[:n]
        tables = [self.tables.pop(0) for _ in range(len(self.tables))]
        failed = list(self.mishaps)
        return Load(rows, values, tables, {row: self.mishaps.pop(row) for row in failed})
