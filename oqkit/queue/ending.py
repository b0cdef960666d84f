"""Whether a job has ended, and how, as its parts say."""

from __future__ import annotations

import math

from oqkit.errors import FormatError
from oqkit.queue import key as keys
from oqkit.queue.job import Job, is_settled
from oqkit.queue.repository import Repository
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
    n, statuses = repository.limits.queue.read_parts, set[Status]()
    for first in range(0, len(indexes), n):
        for ended in repository.map(lambda index: _ends(repository, job, index), indexes[first : first + n]):
            if ended is None:
                return None
            statuses |= ended
    return frozenset(statuses)


def _ends(repository: Repository, job: Job, index: int) -> set[Status] | None:
    try:
        part = repository.read_part(job, index).doc
    except FormatError:
        return None  # nobody can say
    return {state.status for state in part.states} if is_settled(part, job) else None
