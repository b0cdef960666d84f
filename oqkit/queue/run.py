"""Run-length task state: neighbouring tasks that share everything are one `Run`.

A part of 10,000 tasks that all completed is one run; scattered failures cost one run each. All
functions here keep the runs sorted, gapless and merged, and take ``O(runs + ranges)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from oqkit.queue.transition import Status

Range = tuple[int, int]
"""Rows ``first <= row < stop`` of one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Rows ``first <= row < stop`` of a part, all in the same state."""

    first: int
    stop: int
    status: Status = Status.PENDING
    attempt: int = 0
    """How often the rows were claimed; never falls."""
    spared: int = 0
    """How many of those claims do not count against the retries."""
    lost: int = 0
    """How many leases in a row ran out on these rows."""
    reschedules: int = 0
    due: float = 0.0
    """Not to be claimed before, in epoch seconds."""
    is_reopened: bool = False
    """Whether they were put back by hand: their time to live does not count any more."""
    lease: str = ""
    """Who runs them; empty unless running."""
    output: str = ""
    """Which output holds their newest outcome; empty for none."""

    @property
    def used(self) -> int:
        """How many attempts count against the retries."""
        return self.attempt - self.spared

    def __len__(self) -> int:
        return self.stop - self.first

    def fits(self, other: Run) -> bool:
        """Whether `other` may be merged into this run."""
        return self.stop == other.first and replace(other, first=self.first, stop=self.stop) == self


def merged(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Join neighbours that share everything."""
    out: list[Run] = []
    for run in runs:
        if out and out[-1].fits(run):
            out[-1] = replace(out[-1], stop=run.stop)
        else:
            out.append(run)
    return tuple(out)


def split(runs: Iterable[Run], ranges: Iterable[Range]) -> Iterator[tuple[Run, bool]]:
    """Cut `runs` at the borders of `ranges` (sorted, disjoint); yield each piece and whether it lies inside."""
    pending = iter(ranges)
    current = next(pending, None)
    for run in runs:
        first = run.first
        while first < run.stop:
            while current is not None and current[1] <= first:
                current = next(pending, None)
            inside = current is not None and current[0] <= first
            border = run.stop if current is None else current[1 if inside else 0]
            stop = min(run.stop, border)
            yield (run if (first, stop) == (run.first, run.stop) else replace(run, first=first, stop=stop)), inside
            first = stop


def changed(runs: Iterable[Run], ranges: Iterable[Range], change: Callable[[Run], Run]) -> tuple[Run, ...]:
    """Apply `change` to the rows in `ranges` and leave the others as they are."""
    return merged(change(run) if inside else run for run, inside in split(runs, ranges))


def ranges_of(rows: Iterable[int]) -> tuple[Range, ...]:
    """Write row numbers (any order, duplicates allowed) as sorted ranges."""
    numbers = rows if isinstance(rows, range) and rows.step > 0 else sorted(set(rows))
    if not numbers:
        return ()
    if numbers[-1] - numbers[0] == len(numbers) - 1:  # the common case, at the speed of the sort
        return ((numbers[0], numbers[-1] + 1),)
    out: list[list[int]] = []
    for row in numbers:
        if out and out[-1][1] == row:
            out[-1][1] = row + 1
        else:
            out.append([row, row + 1])
    return tuple((first, stop) for first, stop in out)


def rows_of(ranges: Sequence[Range]) -> Sequence[int]:
    """Return the row numbers of `ranges`, in order; a `range` where they are one."""
    if len(ranges) == 1:
        return range(*ranges[0])
    return [row for first, stop in ranges for row in range(first, stop)]


def packed(rows: Sequence[int]) -> Sequence[int]:
    """Return distinct `rows` as a `range` if they follow each other in order: that says the same in no space."""
    if not rows or isinstance(rows, range):
        return rows
    span = range(rows[0], rows[-1] + 1)
    return span if len(span) == len(rows) and list(span) == rows else rows


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort disjoint ranges and join neighbours."""
    out: list[Range] = []
    for first, stop in sorted(ranges):
        if out and out[-1][1] == first:
            out[-1] = (out[-1][0], stop)
        else:
            out.append((first, stop))
    return tuple(out)


def count(ranges: Iterable[Range]) -> int:
    """Return how many rows `ranges` hold."""
    return sum(stop - first for first, stop in ranges)
