"""Which jobs have a tag: an empty object for each tag of each job, whose name sorts newer jobs first.

The tags themselves are in the job object, and whoever finds a job here reads that anyway: so an entry never decides. One
that should not be there is taken down by whoever meets it. One that is missing, since somebody died before putting it
up, is put up by whoever submits the same job again or gives it tags, and by the search for lost jobs.

Whoever takes an entry down reads the job afterwards, and puts the entry up again if it should be there: the tag may have
been set meanwhile. Whoever sets a tag puts up the entry once the job has the tag. So of both, one sees to it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress

from oqkit.errors import FormatError, Missing, StoreError
from oqkit.printable import printable
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository

log = logging.getLogger(__name__)


def put_up(repository: Repository, job: Job, among: Collection[str] | None = None) -> None:
    """Put up the entries of a job, one request each; with `among` only those of these."""
    wanted = [key for key in entries_of(job, job.tags) if among is None or key in among]
    repository.map(lambda key: repository.loop.put_once(key, b""), wanted)


def put_up_if_possible(repository: Repository, job: Job) -> None:
    """Put up the entries of a job that is stored: what the store does not take is left to the search for lost jobs."""
    try:
        put_up(repository, job)
    except StoreError as error:
        log.warning("job %s is not found by all of its tags for now: %s", job.id, printable(error))


def take_down(repository: Repository, job_id: str, entries: Collection[str]) -> None:
    """Take down entries that a job should not have, as it was read; it may have been given the tags since."""
    with suppress(StoreError):  # what stays there misleads nobody
        repository.store.delete_many(entries)
    with suppress(Missing, FormatError):
        put_up(repository, repository.read_job(job_id).doc, entries)


def retag(repository: Repository, job: Job, names: Collection[str], *, before: Mapping[str, str]) -> None:
    """Bring the entries up to date after tags of these names were set or removed; `before` are the tags until then."""
    old, new = (entries_of(job, {n: one for n, one in tags.items() if n in names}) for tags in (before, job.tags))
    put_up(repository, job, new)  # also those that somebody set before, who may have died over it
    if stale := [key for key in old if key not in new]:
        take_down(repository, job.id, stale)


def entries_of(job: Job, tags: Mapping[str, str]) -> list[str]:
    """Return the entries by which a job is found that has these tags."""
    return [keys.tag_key(name, value, job=job.id, created=job.created) for name, value in tags.items()]


def has_tags(job: Job, wanted: Mapping[str, str]) -> bool:
    """Whether a job has all tags that are wanted, with these values."""
    return all(job.tags.get(name) == value for name, value in wanted.items())
