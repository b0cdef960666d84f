"""How a job comes into being: inputs, then the job object (the commit point), then its marker, then the bell.

A crash before the job object leaves unnamed inputs; a crash after it leaves a job that only lacks
its marker, which whoever submits it again, waits for it or watches it puts up, or a worker's sweep.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from oqkit.clock import new_id
from oqkit.errors import FormatError, Missing
from oqkit.queue import gate
from oqkit.queue import key as keys
from oqkit.queue.cas import JOB
from oqkit.queue.ending import is_done
from oqkit.queue.job import Job
from oqkit.queue.reconcile import restore_marker
from oqkit.queue.release import begin
from oqkit.queue.repository import Repository
from oqkit.queue.tag_index import put_up_if_possible


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A submission's end: the job that now exists, and whether this submission created it."""

    job: Job
    is_new: bool


class Submission:
    """One attempt to create `job`; upload its inputs, then `commit` it."""

    def __init__(self, repository: Repository, job: Job) -> None:
        self._repository = repository
        self._job = job
        self._keys = repository.keys_of(job)
        self._uploaded: list[str] = []

    def check(self) -> None:
        """Raise `UsageError` if the job could not be stored; call it before anything is uploaded for it."""
        JOB.dump(self._job)

    def put_input(self, data: bytes) -> str:
        """Upload the next input file and return its key."""
        digest = hashlib.sha256(data).hexdigest()[:32]
        key = self._keys.input(len(self._uploaded), digest)
        self._repository.loop.put_once(key, data)
        self._uploaded.append(key)
        return key

    def withdraw(self) -> None:
        """Delete what was uploaded."""
        for key in self._uploaded:
            self._repository.delete_quietly(key)

    def commit(self, job: Job) -> Submitted:
        """Create the job, or find that its id is taken: then that job, or its tombstone, is returned and the inputs are withdrawn."""
        held = self._repository.create_job(job)
        found = held.doc
        if found.deleted is not None:
            self.withdraw()
            return Submitted(job=found, is_new=found.origin == job.origin)
        if found.origin == job.origin:
            announce(self._repository, found)
            put_up_if_possible(self._repository, found)
            return Submitted(job=begin(self._repository, held), is_new=True)
        if self._repository.keys_of(found).folder != self._keys.folder:
            self.withdraw()
        resume(self._repository, found)
        return Submitted(job=found, is_new=False)


def announce(repository: Repository, job: Job) -> None:
    """Tell workers of a job that is stored; if it waits for others, only those who look for it much later."""
    if not job.n_tasks:
        return
    marker = repository.marker(job, due=gate.due(job, repository.now()))
    if job.is_blocked(repository.now()):
        repository.put_marker(marker)
    else:
        repository.announce(marker, job=job)


def resume(repository: Repository, job: Job) -> None:
    """Put up the marker of a job that is not done, and what finds it by its tags: who submitted it may have died before that."""
    put_up_if_possible(repository, job)
    if job.n_tasks and not is_done(repository, job, most=repository.limits.queue.read_parts):
        restore_marker(repository, job)
    if job.is_blocked(repository.now()):
        begin(repository, repository.read_job(job.id))


# --- jobs with a key -----------------------------------------------------------------------------

JOB_SCOPE = "job"


def latest(repository: Repository, scope: str, key: str, *, known: int = 1) -> tuple[int, Job | None]:
    """Return the newest generation of a keyed job and the job, None if that was deleted; ``(0, None)`` if there is none.

    Generations have no gaps, so doubling and halving finds the last in ``O(log generations)`` reads: in three if
    `known`, which was there once, still is the last.
    """

    def read(generation: int) -> Job | None:
        try:
            job = repository.read_job_or_tombstone(keys.keyed_job_id(scope, key, generation)).doc
            return _followed(repository, job)
        except Missing:
            return None

    low, job, step = known - 1, None, 1
    while (found := read(low + step)) is not None:
        low, job, step = low + step, found, step * 2
    while step > 1:
        step //= 2
        if (found := read(low + step)) is not None:
            low, job = low + step, found
    if job is None and known > 1:  # somebody removed the object itself
        return latest(repository, scope, key)
    return low, None if job is None or job.deleted is not None else job


POINTER = "job"
"""The kind of `input` that is none: it lets a name lead to another job, and is followed here, before anybody looks at it."""


def point_to(repository: Repository, job: Job, *, name: str) -> None:
    """Let the first generation of another name lead to `job`, unless that name is taken already."""
    empty = Job(
        id=keys.keyed_job_id(JOB_SCOPE, name, 1),
        type=job.type,
        name=name,
        n_tasks=0,
        part_rows=1,
        created=repository.now(),
        origin=new_id(repository.rng),
        mode=job.mode,
        input={"kind": POINTER, "job": job.id},
    )
    repository.create_job(empty)


def _followed(repository: Repository, job: Job) -> Job:
    """Return the job that `job` points to; itself if it is no pointer, or if that job was deleted."""
    if job.input.get("kind") != POINTER:
        return job
    target = job.input.get("job")
    if not isinstance(target, str) or not keys.is_job_id(target):
        raise FormatError(f"job {job.id} stands for {target!r:.80}, which is the id of no job")
    try:
        return repository.read_job(target).doc
    except Missing:
        return job
