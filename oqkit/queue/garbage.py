"""What nobody needs any more: old jobs, uploads of submissions that never became a job, outputs that lost a race, reports of lost workers.

Each is looked at once more just before it goes, and what was seen before is what its removal depends on:

* a job goes by `delete_job`, whose compare-and-set a retry at the same moment defeats; then its age is asked for again. It stays while
  another one that has not ended depends on it, since that may read its results;
* an upload goes if its job is not there, read after the upload was listed;
* an output goes if its part, read after it was listed, does not name it, and knows no more of the lease that it is of: such a lease can commit nothing.

The last two are a day old at least, and so are reports, which are for people to look at: a worker that lives writes its own anew. What is kept of a limit goes by
`oqkit.queue.retirement`. Functions that are shipped by value are shared, and stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from oqkit.errors import FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue.deletion import Removed, clear, delete_job, is_awaited, remove
from oqkit.queue.ending import ends
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.retirement import retire
from oqkit.queue.submission import POINTER
from oqkit.store.base import Entry


class Kind(StrEnum):
    """What was removed."""

    JOB = "job"
    """A job, with all that was its own."""
    REST = "rest"
    """What was left of a job that had been deleted."""
    ORPHAN = "orphan"
    """Inputs of a job that is not there."""
    FENCED = "fenced"
    """Outputs that no part names."""
    WORKERS = "workers"
    """Reports of workers that have said nothing for a day."""
    LIMIT = "limit"
    """What was kept of a limit that nobody uses any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """Something that was removed, or would be."""

    kind: Kind
    job: str
    removed: Removed
    name: str = ""


class Collector:
    """Removes garbage; with `dry_run` it only says what there is."""

    def __init__(self, repository: Repository, *, older_than_s: float | None = None, dry_run: bool = False) -> None:
        self._repository = repository
        self._older_than_s = older_than_s
        self._dry_run = dry_run

    def collect(self) -> list[Garbage]:
        """Go through the whole queue: a GET for each job, a LIST and some GETs for those that have ended."""
        found = [one for page in self._repository.store.list_all(keys.JOBS) for one in self._each(page.entries)]
        for number in range(self._repository.settings.most):
            for page in self._repository.store.list_all(f"{keys.WORK}{number:04x}/", folders=True):
                groups = self._repository.map(self.collect_folder, page.folders)
                found += [one for group in groups for one in group]
        reports = [one for page in self._repository.store.list_all(keys.WORKERS) for one in page.entries]
        found += self._found(Kind.WORKERS, "", self._remove(self._old(reports)))
        return found + [
            one for page in self._repository.store.list_all(keys.LIMITS) for one in self._limits(page.entries)
        ]

    def _limits(self, entries: Iterable[Entry]) -> list[Garbage]:
        """Remove what is kept of limits that nobody has used for as long as jobs stay, or for a day."""
        repository = self._repository
        age_s = repository.limits.queue.orphan_s if self._older_than_s is None else self._older_than_s
        since = repository.now() - age_s
        gone = [one for one in entries if retire(repository, one.key, since=since, dry_run=self._dry_run)]
        return [
            Garbage(
                kind=Kind.LIMIT,
                job="",
                removed=_sum([one]),
                name=one.key.removeprefix(keys.LIMITS).removesuffix(".json"),
            )
            for one in gone
        ]

    def _each(self, entries: Iterable[Entry]) -> list[Garbage]:
        ids = [keys.job_of_key(entry.key) for entry in entries]
        found = self._repository.map(self.collect_job, [one for one in ids if keys.is_job_id(one)])
        return [one for one in found if one is not None]

    # --- jobs ------------------------------------------------------------------------------------

    def collect_job(self, job_id: str) -> Garbage | None:
        """Delete a job if it is old enough, or what is left of one that was deleted."""
        repository = self._repository
        try:
            job = repository.read_job_or_tombstone(job_id).doc
            if job.deleted is not None:
                rest = self._size(job) if self._dry_run else clear(repository, job).removed
                return next(iter(self._found(Kind.REST, job_id, rest)), None)
            if self._age_s(job) is None or not self._is_old(job):
                return None
            removed = self._delete(job)
        except (Missing, FormatError):  # gone meanwhile, or nobody can say what it is
            return None
        return None if removed is None else Garbage(kind=Kind.JOB, job=job_id, name=job.name, removed=removed)

    def _age_s(self, job: Job) -> float | None:
        """Return how long a job stays once it has ended; None: for ever."""
        ages = [age_s for age_s in (self._older_than_s, job.policy.keep_s) if age_s is not None]
        return min(ages, default=None)

    def _delete(self, job: Job) -> Removed | None:
        if not self._dry_run:
            return delete_job(self._repository, job.id, only_if=self._is_old)
        return self._size(job) if ends(self._repository, job) is not None else None

    def _is_old(self, job: Job) -> bool:
        """Whether nothing has happened to the tasks of a job for so long, and nobody needs it."""
        age_s = self._age_s(job)
        if age_s is None:
            return False
        last = job.created
        for page in self._repository.store.list_all(self._repository.keys_of(job).parts):
            for entry in page.entries:
                last = max(last, self._repository.now() if entry.modified_s is None else entry.modified_s)
        is_old = last <= self._repository.now() - age_s
        return is_old and not self._leads_somewhere(job) and not is_awaited(self._repository, job)

    def _leads_somewhere(self, job: Job) -> bool:
        """Whether a job is none, but gives its name to another one that is there."""
        if job.input.get("kind") != POINTER:
            return False
        try:
            self._repository.read_job(str(job.input.get("job")))
        except Missing:
            return False
        return True

    def _size(self, job: Job) -> Removed:
        pages = self._repository.store.list_all(self._repository.keys_of(job).folder)
        return _sum(entry for page in pages for entry in page.entries)

    # --- what lies in folders --------------------------------------------------------------------

    def collect_folder(self, folder: str) -> list[Garbage]:
        """Remove what is a day old in a folder below ``work/`` and belongs to no job, or to no part of its job."""
        repository, job_id = self._repository, keys.job_of_folder(folder)
        if not keys.is_job_id(job_id) or keys.created_of_folder(folder) > self._day_ago():
            return []
        old = self._old([one for page in repository.store.list_all(folder) for one in page.entries])
        try:
            job: Job | None = repository.read_job_or_tombstone(job_id).doc
        except Missing:
            job = None
        except FormatError:
            return []
        if job is None or repository.keys_of(job).folder != folder:
            return self._found(Kind.ORPHAN, job_id, self._remove(old))
        if job.deleted is not None:
            return []  # it was cleared with the jobs
        return self._found(Kind.FENCED, job_id, self._remove(self._fenced(job, folder, old)))

    def _day_ago(self) -> float:
        return self._repository.now() - self._repository.limits.queue.orphan_s

    def _old(self, listed: Iterable[Entry]) -> list[Entry]:
        since = self._day_ago()
        return [entry for entry in listed if entry.modified_s is not None and entry.modified_s <= since]

    def _fenced(self, job: Job, folder: str, listed: Iterable[Entry]) -> list[Entry]:
        """Return which outputs of a listing no part of the job names, or can come to name."""
        outputs: dict[int, dict[str, Entry]] = {}
        for entry in listed:
            index, _, name = entry.key.removeprefix(f"{folder}out/").removesuffix(".parquet").partition("-")
            if entry.key.startswith(f"{folder}out/") and index.isdecimal() and int(index) < job.n_parts:
                outputs.setdefault(int(index), {})[name] = entry
        return [entry for index, named in outputs.items() for entry in self._unnamed(job, index, named)]

    def _unnamed(self, job: Job, index: int, named: dict[str, Entry]) -> list[Entry]:
        try:
            part = self._repository.read_part(job, index).doc
        except FormatError:
            return []
        leases = {lease.id for lease in part.leases}
        return [
            entry for name, entry in named.items() if name not in part.outputs and name.rpartition(".")[0] not in leases
        ]

    def _found(self, kind: Kind, job_id: str, removed: Removed) -> list[Garbage]:
        return [Garbage(kind=kind, job=job_id, removed=removed)] if removed.n_objects else []

    def _remove(self, entries: list[Entry]) -> Removed:
        return _sum(entries) if self._dry_run else remove(self._repository, entries)


def _sum(entries: Iterable[Entry]) -> Removed:
    sizes = [entry.size_bytes for entry in entries]
    return Removed(n_objects=len(sizes), n_bytes=sum(sizes))
