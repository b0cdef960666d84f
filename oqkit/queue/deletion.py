"""How a job is deleted: a tombstone takes its place, and then all goes that was its own.

The tombstone decides. It replaces the job object by compare-and-set, and only the very one, with the very orders, of which
all tasks were seen to have ended: a retry that comes before it keeps the job, and one that comes after finds
none. Who reads a tombstone finds `Missing`. Inputs and outputs go at once. Parts that changed lately stay for a while,
for workers that still think that nobody has begun them, and so does the tombstone of a job that is young: its create
may be sent once more; or of one on which others depend that have not ended: it says how the job ended. The search for lost jobs (`oqkit.queue.sweep`) and `oqkit.queue.garbage` remove those later, also for whoever dies half-way.

Of a job whose id follows from a key the tombstone stays for good. It is what keeps generations without gaps, and keeps a
slot of a schedule, what a task has spawned and what an outbox delivers from being submitted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oqkit.errors import FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue.ending import ends
from oqkit.queue.job import Job
from oqkit.queue.release import release_followers, tree_entries
from oqkit.queue.repository import Repository
from oqkit.queue.retirement import drop_own
from oqkit.queue.tag_index import entries_of
from oqkit.store.base import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was taken out of the store."""

    n_objects: int = 0
    n_bytes: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(n_objects=self.n_objects + other.n_objects, n_bytes=self.n_bytes + other.n_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What became of the objects of a deleted job."""

    removed: Removed
    is_all: bool
    """Whether nothing is left that is to go later."""


def delete_job(
    repository: Repository, job_id: str, *, only_if: Callable[[Job], bool] = lambda _: True, by: str = ""
) -> Removed | None:
    """Delete a job, or return None if tasks of it have not ended, or nobody can say; raise `Missing` if it is not there.

    Nor is it deleted unless `only_if` says so, which is asked again once its tasks were seen to have ended. Jobs that depend on it are
    told first how it ended. `by` says who asks for it.
    """
    while True:
        job = repository.read_job(job_id).doc
        outcome = ends(repository, job) if only_if(job) else None
        if outcome is None or not only_if(job):  # again: the last task may have ended in between
            return None
        if job.has_followers:
            release_followers(repository, job)
        grave = repository.bury_job(job, outcome, by=by)
        if grave is not None:
            if job.tags:
                repository.delete_quietly(*entries_of(job, job.tags))
            return clear(repository, grave).removed


def clear(repository: Repository, grave: Job) -> Cleared:
    """Remove what is left of a deleted job and may go by now; doing it again does no harm."""
    names, stay_s, now = repository.keys_of(grave), repository.limits.queue.deleted_stay_s, repository.now()
    if entries := tree_entries(grave):
        repository.delete_quietly(*entries)
    drop_own(repository, grave)
    removed, is_all = Removed(), True
    for page in repository.store.list_all(names.folder):
        gone = [one for one in page.entries if not one.key.startswith(names.parts) or _is_old(one, grave, now - stay_s)]
        removed += remove(repository, gone)
        is_all &= len(gone) == len(page.entries)
    if not is_all or keys.is_keyed(grave.id):
        return Cleared(removed=removed, is_all=is_all)
    if now - grave.created < stay_s or is_awaited(repository, grave):
        return Cleared(removed=removed, is_all=False)
    repository.delete_quietly(repository.layouts.job_key(grave.id))
    return Cleared(removed=removed, is_all=True)


def is_awaited(repository: Repository, job: Job) -> bool:
    """Whether a job that has not ended depends on this one."""
    for page in repository.store.list_all(keys.tree_prefix(job.root or job.id)):
        for entry in page.entries:
            try:
                other = repository.read_job(entry.key.rpartition("/")[2]).doc
            except Missing:
                continue
            except FormatError:
                return True  # nobody can say
            if any(parent.job == job.id for parent in other.depends_on) and ends(repository, other) is None:
                return True
    return False


def _is_old(entry: Entry, grave: Job, since: float) -> bool:
    """Whether a part has not changed since a time; a store that does not date it is told by when the job was deleted."""
    modified_s = grave.deleted if entry.modified_s is None else entry.modified_s
    return modified_s is not None and modified_s <= since


def remove(repository: Repository, entries: Iterable[Entry]) -> Removed:
    """Remove objects of a listing; where that is not allowed, say so once, and count none."""
    chosen = list(entries)
    if not chosen or not repository.delete_quietly(*(entry.key for entry in chosen)):
        return Removed()
    return Removed(n_objects=len(chosen), n_bytes=sum(entry.size_bytes for entry in chosen))
