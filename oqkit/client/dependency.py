"""What a caller names as that on which a job depends: looked up, and turned into what the job holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from oqkit.errors import JobMissing, UnknownJob, UsageError, one_of
from oqkit.payload.item_places import is_part, read_places
from oqkit.queue import key as keys
from oqkit.queue.bound import MAX_PARENTS
from oqkit.queue.dependency import OnFailure, Parent
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.submission import JOB_SCOPE, latest


def parents_of(repository: Repository, given: object) -> tuple[Parent, ...]:
    """Look up the jobs that a caller names, each once: handles of jobs or tasks, ids, or names; None for none.

    A task of a job of many stands for the whole job, and a job of items also for those of its call that are tasks of other
    jobs. What was looked up already stays as it is. Raise `UnknownJob` for what is not there, before anything is written.
    """
    if given is None:
        return ()
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    known = tuple(one for one in several if isinstance(one, Parent))
    if len(known) == len(several):
        return known
    texts = dict.fromkeys(map(_text, several))
    _check_number(len(texts))
    jobs = {job.id: job for job in repository.map(lambda text: find_job(repository, text), texts)}
    elsewhere = _elsewhere(repository, jobs)
    _check_number(len(jobs) + len(elsewhere))
    others = repository.map(lambda job_id: _read(repository, job_id), elsewhere)
    parts = ((job, elsewhere[job.id]) for job in others if job is not None)
    return tuple(
        Parent(job=job.id, origin=job.origin, name=job.name or job.type, root=job.root, rows=rows)
        for job, rows in [*((job, None) for job in jobs.values()), *parts]
    )


def _check_number(n: int) -> None:
    if n > MAX_PARENTS:
        raise UsageError(f"depends_on= names {n:,} jobs: at most {MAX_PARENTS:,} are allowed")


def _elsewhere(repository: Repository, jobs: Mapping[str, Job]) -> dict[str, Rows]:
    """Return which tasks of other jobs are items of the calls that jobs were made for, by job."""
    found: dict[str, Rows] = {}
    for places in repository.map(lambda job: read_places(repository, job), filter(is_part, jobs.values())):
        for job_id in places.jobs:
            if job_id not in jobs:
                found[job_id] = found.get(job_id, Rows()) | places.rows(job_id)
    return found


def _read(repository: Repository, job_id: str) -> Job | None:
    """Return a job, or its tombstone, which says how it ended; None if there is neither."""
    try:
        return repository.read_job_or_tombstone(job_id).doc
    except JobMissing:
        return None


def find_job(repository: Repository, text: str) -> Job:
    """Return the job of an id, the id of a task, or a name, or raise `UnknownJob`."""
    job_id = text
    with suppress(UsageError):  # then it is the id of a job, or a name
        job_id, _ = keys.parse_task_id(text)
    unknown = UnknownJob(f"there is no job or task {text!r:.80} in {repository.store.url}")
    if keys.is_job_id(job_id):
        try:
            return repository.read_job(job_id).doc
        except JobMissing as error:
            unknown = error.named(str(unknown))
    _, found = latest(repository, JOB_SCOPE, text)
    if found is None:
        raise unknown
    return found


def on_failure_of(given: str | None, parents: tuple[Parent, ...]) -> OnFailure:
    """Return what is to happen if a parent does not complete, or raise `UsageError`."""
    if given is None:
        return OnFailure.FAIL
    if given not in set(OnFailure):
        raise UsageError(f"on_failure={given!r:.80} must be {one_of([repr(one.value) for one in OnFailure])}")
    if not parents:
        raise UsageError(f"on_failure={given!r} says what to do if a job of depends_on=[...] fails, and there is none")
    return OnFailure(given)


def check_circle(job: Job) -> None:
    """Raise `UsageError` if a job is to depend on itself, as one with a key or name can be told to."""
    if any(parent.job == job.id for parent in job.depends_on):
        raise UsageError(f"depends_on= names the job itself, {job.name or job.id!r}: it would wait for ever")


def _text(one: object) -> str:
    text = one if isinstance(one, str) else getattr(one, "id", None)
    if not isinstance(text, str) or not text:
        raise UsageError(f"depends_on= holds {one!r:.80}: give jobs, tasks, their ids, or names of jobs")
    return text
