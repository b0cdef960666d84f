"""Which jobs there are, newest first, in a number of requests that depends on how many are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oqkit.errors import FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob:
    """A job of a listing: its object, or why that cannot be read."""

    id: str
    created: float
    """Epoch seconds; what the keys tell where the object cannot be read, and 0 if they do not."""
    job: Job | None
    why: str = ""


def newest_jobs(repository: Repository, *, limit: int) -> list[ListedJob]:
    """Return up to `limit` jobs, newest first; also those whose object cannot be read.

    Three listings together know every job: folders of jobs with stored inputs or a claimed part,
    jobs without a key (their ids sort by time), and markers. Only of jobs that have a key, no
    stored inputs and no claimed part are those beyond the first few thousand markers left out.
    """
    found: dict[str, float] = {}
    for number in range(repository.settings.shards):
        shard = f"{number:04x}"
        found.update(_open(repository, shard))
        found.update(_without_key(repository, shard, limit))
        found.update(_with_folder(repository, shard, limit))
    ids = [one for one in found.items() if keys.is_job_id(one[0])]
    jobs = [job for job in repository.map(lambda one: _read(repository, *one), ids) if job is not None]
    return sorted(jobs, key=lambda job: -job.created)[:limit]


def open_jobs(repository: Repository, *, job_type: str | None = None) -> list[str]:
    """Return the ids of all jobs that have a marker, of one task type or of all: one listing for each thousand of them."""
    folders = [keys.OPEN]
    if job_type is not None:
        shards = [keys.open_prefix(f"{number:04x}") for number in range(repository.settings.shards)]
        topics = [keys.topic_of(job_type, by_value=by_value) for by_value in (False, True)]
        folders = [f"{shard}{topic}/" for shard in shards for topic in topics]
    listed = repository.map(lambda folder: list(repository.store.list_all(folder)), folders)
    found = dict[str, None]()
    for entry in (entry for pages in listed for page in pages for entry in page.entries):
        try:
            found[keys.parse_marker(entry.key).job] = None
        except FormatError:  # a sign of another kind
            continue
    return list(found)


def _with_folder(repository: Repository, shard: str, limit: int) -> Iterator[tuple[str, float]]:
    left = limit
    for page in repository.store.list_all(f"{keys.WORK}{shard}/", folders=True):
        for folder in page.folders[:left]:
            yield keys.job_of_folder(folder), keys.created_of_folder(folder)
        left -= len(page.folders)
        if left <= 0:
            return


def _without_key(repository: Repository, shard: str, limit: int) -> Iterator[tuple[str, float]]:
    page = repository.store.list(f"{keys.JOBS}{shard}/0", limit=min(limit, 1000))
    ids = (keys.job_of_key(entry.key) for entry in page.entries)
    return ((job_id, keys.created_hint(job_id)) for job_id in ids)


def _open(repository: Repository, shard: str) -> Iterator[tuple[str, float]]:
    for number, page in enumerate(repository.store.list_all(keys.open_prefix(shard))):
        for entry in page.entries:
            try:
                marker = keys.parse_marker(entry.key)
            except FormatError:
                continue
            if marker.job.startswith("k"):
                yield marker.job, marker.due
        if number + 1 >= repository.limits.queue.open_pages:
            return


def _read(repository: Repository, job_id: str, created: float) -> ListedJob | None:
    try:
        job = repository.read_job(job_id).doc
    except Missing:
        return None  # deleted meanwhile
    except FormatError as error:
        return ListedJob(id=job_id, created=created, job=None, why=str(error))
    return ListedJob(id=job_id, created=job.created, job=job)
