"""Whether a job has ended, and how, as its parts say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oqkit.errors import FormatError
from oqkit.queue import key as keys
from oqkit.queue.job import Job, caught_up, is_settled
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status


def is_done(repository: Repository, job: Job, *, most: float = math.inf) -> bool:
    """Whether every task of a job has ended for good; of more parts than `most`, only so many are asked."""
    return ends(repository, job, most=most) is not None


def ends(repository: Repository, job: Job, *, most: float = math.inf) -> frozenset[Status] | None:
    """Return the statuses in which tasks of a job have ended; None while some have not.

    Of more parts than `most`, only so many are asked.
    """
    indexes = list(range(job.n_parts))
    if job.n_parts > 1:
        pages = repository.store.list_all(repository.keys_of(job).parts)
        found = keys.part_etags((entry for page in pages for entry in page.entries), n_parts=job.n_parts)
        if len(found) < job.n_parts:
            return None
        indexes = repository.rng.sample(indexes, int(min(most, len(indexes))))
    return _ends(repository, job, indexes, rows=None)


def ends_of(repository: Repository, job: Job, rows: Rows) -> frozenset[Status] | None:
    """Return the statuses in which some tasks of a job have ended; None while one of them has not."""
    n = job.part_rows
    indexes = range(rows.first // n, min(rows.last // n + 1, job.n_parts)) if rows else ()
    return _ends(repository, job, [n for n in indexes if _within(rows, job, n)], rows=rows)


def _ends(repository: Repository, job: Job, indexes: Sequence[int], *, rows: Rows | None) -> frozenset[Status] | None:
    n, statuses = repository.limits.queue.read_parts, set[Status]()
    for first in range(0, len(indexes), n):
        for ended in repository.map(lambda index: _part_ends(repository, job, index, rows), indexes[first : first + n]):
            if ended is None:
                return None
            statuses |= ended
    return frozenset(statuses)


def _part_ends(repository: Repository, job: Job, index: int, rows: Rows | None) -> set[Status] | None:
    try:
        part = repository.read_part(job, index).doc
    except FormatError:
        return None  # nobody can say
    if rows is None:
        return {state.status for state in part.states} if is_settled(part, job) else None
    wanted = _within(rows, job, index)
    told = part if part.gen >= job.gen else caught_up(part, job, now=part.at)
    found = _statuses(part, wanted)  # as it is written, which no order given will change
    return found if all(status.is_final for status in found | _statuses(told, wanted)) else None


def _within(rows: Rows, job: Job, index: int) -> Rows:
    """Return which of some rows of a job are in a part, by their number there."""
    first = index * job.part_rows
    return rows.clip(first, first + job.part_size(index)).shift(-first)


def _statuses(part: Part, rows: Rows) -> set[Status]:
    return {state.status for state, held in part.states.items() if held & rows}
