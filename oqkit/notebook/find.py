"""Search among the tasks of a job: by row, index label, worker or error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from oqkit.notebook.humanize import group_title
from oqkit.notebook.reader import ErrorReader
from oqkit.queue.rows import union
from oqkit.queue.view import JobState
from oqkit.task.failure import cut

MAX_LABEL = 80


class Finder:
    """Knows what the tasks of a job are called; reads the submitted index when first needed."""

    def __init__(self, index: Callable[[], pd.Index], errors: ErrorReader) -> None:
        self._read_index = index
        self._errors = errors
        self._labels: pd.Series | None = None

    @property
    def index(self) -> pd.Index:
        """The index of the submitted frame."""
        return self._read_index()

    def label(self, row: int) -> str:
        """Return what the submitter calls a task."""
        return cut(str(self.index[row]), MAX_LABEL)

    def rows(self, state: JobState, query: str) -> list[int]:
        """Return the rows that match `query`, in order.

        A number finds the row of that number or label; other text is searched, whatever its case, in
        labels, in the names of workers that hold tasks, and in the errors that have been read.
        """
        wanted = query.strip().casefold()
        found = set(self._by_label(wanted, state.job.n_tasks))
        found.update(_by_worker(state, wanted))
        for group in self._errors.groups(state):
            if wanted in group_title(group).casefold():
                found.update(self._errors.rows(state, group.key))
        return sorted(found)

    def _by_label(self, wanted: str, n_tasks: int) -> Iterator[int]:
        index = self.index
        number = int(wanted) if wanted.isascii() and wanted.isdigit() else None
        if number is not None and number < n_tasks:
            yield number
        if isinstance(index, pd.RangeIndex):
            if number is not None and number in index:
                yield (number - index.start) // index.step
            return
        if self._labels is None:
            self._labels = pd.Series([str(label).casefold() for label in index], dtype=object)
        hits = self._labels.str.contains(wanted, regex=False).to_numpy("bool")
        yield from (int(row) for row in np.flatnonzero(hits))


def _by_worker(state: JobState, wanted: str) -> Iterator[int]:
    for part in state.touched():
        leases = {lease.id for lease in part.leases if wanted in lease.worker.casefold()}
        rows = union(rows for task, rows in part.states.items() if task.lease in leases)
        yield from rows.shift(part.index * state.job.part_rows)
