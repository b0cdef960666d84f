"""The table of tasks, one page at a time: found by their place in the runs, never made as a whole."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from oqkit.notebook.snapshot import segment
from oqkit.queue.part import Part
from oqkit.queue.run import Run
from oqkit.queue.view import JobView

MAX_ROWS = 100


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some neighbouring tasks of those that were asked for; `n_found` is how many those are."""

    rows: tuple[TaskRow, ...]
    offset: int
    n_found: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Neighbouring tasks that share everything: a run, in rows of the whole job."""

    first: int
    stop: int
    part: Part
    run: Run


def page_of(view: JobView, *, status: str, offset: int, limit: int, rows: Sequence[int] | None = None) -> Page:
    """Return a page of the tasks in `status` (one of `SEGMENTS`, or ``""`` for all).

    `rows`, sorted, are the tasks to choose from; None for all of the job. Takes time in proportion to
    the runs of the job (and to `rows`), not to its tasks.
    """
    limit = max(1, min(limit, MAX_ROWS))
    stretches = [each for each in _stretches(view) if not status or segment(each.run) == status]
    if rows is not None:
        return _chosen(stretches, rows, offset=max(0, offset), limit=limit)
    ends = list(itertools.accumulate(each.stop - each.first for each in stretches))
    n_found = ends[-1] if ends else 0
    offset = _within(offset, limit, n_found)
    found: list[TaskRow] = []
    for place in range(offset, min(offset + limit, n_found)):
        number = bisect.bisect_right(ends, place)
        stretch = stretches[number]
        found.append(_row(stretch, stretch.stop - (ends[number] - place)))
    return Page(rows=tuple(found), offset=offset, n_found=n_found)


def row_of(view: JobView, row: int) -> TaskRow:
    """Return one task."""
    index, local = view.job.locate(row)
    part = view.part(index)
    return _row(_Stretch(row, row + 1, part, part.run_at(local)), row)


def _chosen(stretches: Sequence[_Stretch], rows: Sequence[int], *, offset: int, limit: int) -> Page:
    firsts = [each.first for each in stretches]

    def holder(row: int) -> _Stretch | None:
        place = bisect.bisect_right(firsts, row) - 1
        return stretches[place] if place >= 0 and row < stretches[place].stop else None

    held = [(row, stretch) for row, stretch in ((row, holder(row)) for row in rows) if stretch is not None]
    offset = _within(offset, limit, len(held))
    shown = tuple(_row(stretch, row) for row, stretch in held[offset : offset + limit])
    return Page(rows=shown, offset=offset, n_found=len(held))


def _within(offset: int, limit: int, n_found: int) -> int:
    """Return the offset, or that of the last page if it lies behind the end."""
    return max(0, min(offset, (n_found - 1) // limit * limit))


def _stretches(view: JobView) -> list[_Stretch]:
    size = view.job.part_rows
    return [
        _Stretch(part.index * size + run.first, part.index * size + run.stop, part, run)
        for part in view.parts()
        for run in part.runs
    ]


def _row(stretch: _Stretch, row: int) -> TaskRow:
    run = stretch.run
    holder = next((lease.worker for lease in stretch.part.leases if lease.id == run.lease), "") if run.lease else ""
    return TaskRow(
        row=row,
        status=segment(run),
        attempt=run.attempt,
        worker=holder,
        due=run.due,
        part=stretch.part.index,
        output=run.output,
    )
