"""How the items of one call are, which are tasks of several jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from oqkit.queue.transition import Status
from oqkit.queue.view import JobState, JobStatus

_ENDED_WORST_FIRST = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
_LIVELIEST_FIRST = (JobStatus.CANCELLING, JobStatus.RUNNING, JobStatus.PENDING, JobStatus.BLOCKED, JobStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class ItemState:
    """What one refresh saw of the items that are tasks of one job."""

    job: JobStatus
    """How that job is as a whole."""
    counts: Mapping[str, int]
    """How many items are in each status, "blocked" or "unreadable"."""

    @classmethod
    def of(cls, state: JobState, rows: np.ndarray) -> ItemState:
        """Look at some rows of a job; one that occurs twice is two items."""
        rows, counts = np.sort(rows), Counter[str]()
        for index in np.unique(rows // state.job.part_rows).tolist():
            first = index * state.job.part_rows
            here = rows[slice(*np.searchsorted(rows, (first, first + state.job.part_rows)))] - first
            if index in state.unreadable or state.doubt:
                counts[JobStatus.UNREADABLE] += len(here)
                continue
            for task, held in state.part(index).states.items():
                is_blocked = task.status is Status.PENDING and state.is_blocked
                n_items = sum(int(np.diff(np.searchsorted(here, bounds))[0]) for bounds in held.ranges)
                counts[JobStatus.BLOCKED if is_blocked else task.status] += n_items
        return cls(state.status, {status: n_items for status, n_items in counts.items() if n_items})

    @property
    def is_open(self) -> bool:
        """Whether some of them have not ended."""
        return any(status not in _ENDED for status in self.counts)


_ENDED = {status for status in Status if status.is_final}


def total(states: Iterable[ItemState], *, n_gone: int) -> dict[str, int]:
    """Return how many items are in each status; of `n_gone` the job was deleted, so they are "unreadable"."""
    found = Counter({JobStatus.UNREADABLE.value: n_gone})
    for state in states:
        found.update(state.counts)
    named = {status.value: found[status] for status in Status}
    return named | {more.value: found[more] for more in (JobStatus.BLOCKED, JobStatus.UNREADABLE) if found[more]}


def status_of(states: Iterable[ItemState], *, n_gone: int) -> JobStatus:
    """Return how all items are together, as if they were the tasks of one job."""
    states = list(states)
    counts = total(states, n_gone=n_gone)
    if counts.get(JobStatus.UNREADABLE):
        return JobStatus.UNREADABLE
    is_open = {state.job for state in states if state.is_open}
    if not is_open:
        return next((JobStatus(one.value) for one in _ENDED_WORST_FIRST if counts[one]), JobStatus.COMPLETED)
    status = next((one for one in _LIVELIEST_FIRST if one in is_open), JobStatus.RUNNING)
    is_begun = any(counts[one] for one in Status if one is not Status.PENDING)
    return JobStatus.RUNNING if status is JobStatus.PENDING and is_begun else status
