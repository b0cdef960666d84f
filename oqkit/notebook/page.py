"""The table of tasks, one page at a time: found by their place in the stretches of a part, never made as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oqkit.notebook.snapshot import SEGMENTS, segment
from oqkit.queue.part import Part
from oqkit.queue.view import JobState

MAX_ROWS = 100

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task of the table."""

    row: int
    status: str
    """One of `SEGMENTS`."""
    attempt: int
    worker: str
    due: float
    """Not to run before, in epoch seconds; 0 for at once."""
    part: int
    output: str
    progress: str
    """What it says of itself, while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some neighbouring tasks of those that were asked for; `n_found` is how many those are."""

    rows: tuple[TaskRow, ...]
    offset: int
    n_found: int


class Table:
    """The tasks of one job, by status; remembers of each part where its runs lie until the part changes."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Part, Numbers]] = {}

    def page(self, state: JobState, *, status: str, offset: int, limit: int, rows: Sequence[int] | None = None) -> Page:
        """Return a page of the tasks in `status` (one of `SEGMENTS`, or ``""`` for all).

        `rows`, sorted, are the tasks to choose from; None for all of the job. An offset behind the end
        gives the last page.
        """
        limit = max(1, min(limit, MAX_ROWS))
        firsts, stops, codes = self._columns(state)
        is_wanted = codes == SEGMENTS.index(status) if status else np.ones(len(codes), "bool")
        if rows is None:
            found = _Stretches(firsts[is_wanted], stops[is_wanted])
            n_found = found.n_rows
        else:
            numbers = np.asarray(rows, "int64")
            chosen = numbers[is_wanted[np.searchsorted(firsts, numbers, "right") - 1]] if len(firsts) else numbers[:0]
            n_found = len(chosen)
        offset = max(0, min(offset, (n_found - 1) // limit * limit))
        places = range(offset, min(offset + limit, n_found))
        shown = (found.row(place) for place in places) if rows is None else (int(chosen[place]) for place in places)
        return Page(rows=tuple(row_of(state, row) for row in shown), offset=offset, n_found=n_found)

    def _columns(self, state: JobState) -> Numbers:
        """Return the first row, the end and the segment of each stretch of the job, as three arrays."""
        size = state.job.part_rows
        pieces = [
            self._of_part(part) + np.array([[part.index * size], [part.index * size], [0]]) for part in state.parts()
        ]
        return np.concatenate(pieces, axis=1) if pieces else np.zeros((3, 0), "int64")

    def _of_part(self, part: Part) -> Numbers:
        known = self._known.get(part.index)
        if known is not None and known[0] is part:
            return known[1]
        numbers = {name: number for number, name in enumerate(SEGMENTS)}
        found = [(first, stop, numbers[segment(task)]) for first, stop, task in part.stretches()]
        columns = np.array(found, "int64").T
        if part.rev:  # untouched parts are made anew each time, and are a single stretch
            self._known[part.index] = part, columns
        return columns


class _Stretches:
    """Rows in stretches, numbered through."""

    def __init__(self, firsts: Numbers, stops: Numbers) -> None:
        self._stops = stops
        self._ends = np.cumsum(stops - firsts)

    @property
    def n_rows(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, place: int) -> int:
        number = int(np.searchsorted(self._ends, place, "right"))
        return int(self._stops[number] - (self._ends[number] - place))


def row_of(state: JobState, row: int) -> TaskRow:
    """Return one task."""
    index, local = state.job.locate(row)
    part = state.part(index)
    task = part.state_at(local)
    holder = next((lease.worker for lease in part.leases if lease.id == task.lease), "") if task.lease else ""
    return TaskRow(
        row=row,
        status=segment(task),
        attempt=task.attempt,
        worker=holder,
        due=task.due,
        part=index,
        output=task.output,
        progress=next((str(one) for one in part.progress() if local in one.rows), ""),
    )
