"""Which jobs there are, newest first, in a number of requests that depends on how many are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from oqkit.errors import FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository

OPEN_PAGES = 5


def newest_jobs(repository: Repository, *, limit: int) -> list[Job]:
    """Return up to `limit` jobs, newest first.

    Three listings together know every job: folders of jobs with stored inputs or a claimed part,
    jobs without a key (their ids sort by time), and markers. Only of jobs that have a key, no
    stored inputs and no claimed part are those beyond the first few thousand markers left out.
    """
    ids: dict[str, None] = {}
    for number in range(repository.settings.shards):
        shard = f"{number:04x}"
        ids.update(dict.fromkeys(_with_folder(repository, shard, limit)))
        ids.update(dict.fromkeys(_without_key(repository, shard, limit)))
        ids.update(dict.fromkeys(_open(repository, shard)))
    jobs = [job for job in repository.map(lambda job_id: _read(repository, job_id), list(ids)) if job is not None]
    return sorted(jobs, key=lambda job: -job.created)[:limit]


def _with_folder(repository: Repository, shard: str, limit: int) -> Iterator[str]:
    left = limit
    for page in repository.store.list_all(f"{keys.WORK}{shard}/", folders=True):
        yield from map(keys.job_of_folder, page.folders[:left])
        left -= len(page.folders)
        if left <= 0:
            return


def _without_key(repository: Repository, shard: str, limit: int) -> Iterator[str]:
    page = repository.store.list(f"{keys.JOBS}{shard}/0", limit=min(limit, 1000))
    return (keys.job_of_key(entry.key) for entry in page.entries)


def _open(repository: Repository, shard: str) -> Iterator[str]:
    for number, page in enumerate(repository.store.list_all(keys.open_prefix(shard))):
        for entry in page.entries:
            try:
                job_id = keys.parse_marker(entry.key).job
            except FormatError:
                continue
            if job_id.startswith("k"):
                yield job_id
        if number + 1 >= OPEN_PAGES:
            return


def _read(repository: Repository, job_id: str) -> Job | None:
    try:
        return repository.read_job(job_id).doc
    except (Missing, FormatError):
        return None  # deleted meanwhile, or of a newer oqkit
