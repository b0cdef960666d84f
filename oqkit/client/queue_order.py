"""The verbs of `Queue` that give one order to several jobs: all of a task type, or all with some tags."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from oqkit.client.handle import Job
from oqkit.client.option import by_of, tags_of, whole
from oqkit.client.queue_find import QueueFinding, has_tags
from oqkit.client.single import Task
from oqkit.errors import FormatError, UnknownJob, UsageError
from oqkit.printable import printable
from oqkit.queue import key as keys
from oqkit.queue.listing import newest_jobs, open_jobs

log = logging.getLogger(__name__)


class QueueOrdering(QueueFinding):
    """Cancels and retries, wherever the tasks are."""

    def cancel(
        self,
        job: Job | Task | str | None = None,
        *,
        type: str | None = None,  # noqa: A002 - the word of the contract
        tags: Mapping[str, str] | None = None,
        reason: str | None = None,
        by: str | None = None,
    ) -> int:
        """Cancel what has not ended of a job or task (a handle, name or id), and return how many tasks that were.

        Or of all open jobs of a task `type`, or with these `tags`, or both. Which are open is read from the names of their markers:
        a job whose marker was lost is missed until a worker has found it again (see `Job.cancel` for the rest). Of one that
        cannot be read a warning is logged, and it is left alone. Cancelling again changes nothing, and gives 0.
        """
        given_by = by_of(by)
        if job is not None:
            rows, handle = self._chosen(job, type=type, tags=tags)
            return handle.cancel("all" if rows is None else rows, reason=reason, by=given_by)
        wanted = _wanted(type, tags, verb="cancel")
        found = open_jobs(self.repository, job_type=type)
        return self._each(found, wanted, lambda one: one.cancel(reason=reason, by=given_by))

    def retry(
        self,
        job: Job | Task | str | None = None,
        where: str = "failed",
        *,
        type: str | None = None,  # noqa: A002 - the word of the contract
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        by: str | None = None,
    ) -> int:
        """Run again what failed of a job or task (a handle, name or id), and return how many tasks those are.

        Or of all jobs of a task `type`, or with these `tags`, or both, among the newest `limit` jobs. `where` as in
        `Job.retry`, which also takes a corrected function. Of a job that cannot be read a warning is logged, and it is left alone.
        """
        given_by = by_of(by)
        if job is not None:
            rows, handle = self._chosen(job, type=type, tags=tags)
            return handle.retry(where if rows is None else rows, by=given_by)
        wanted = _wanted(type, tags, verb="retry")
        newest = newest_jobs(self.repository, limit=whole(limit, what="limit", low=1, high=10**6))
        found = [one.id for one in newest if one.job is None or type in {None, one.job.type}]
        return self._each(found, wanted, lambda one: one.retry(where, by=given_by))

    def _chosen(
        self,
        job: Job | Task | str,
        *,
        type: str | None,  # noqa: A002 - as above
        tags: Mapping[str, str] | None,
    ) -> tuple[list[int] | None, Job]:
        """Return the rows (None: all) and the job that somebody names."""
        if type is not None or tags is not None:
            raise UsageError("give a job or task, or type= and tags=, not both")
        if isinstance(job, str):
            job = self.get(job) if keys.is_job_id(job.rpartition(".")[0]) else self.job(job)
        return ([job.row], job.job) if isinstance(job, Task) else (None, job)

    def _each(self, job_ids: Iterable[str], tags: Mapping[str, str], order: Callable[[Job], int]) -> int:
        """Give an order to those of the jobs that have these tags, and return what it gives in all."""

        def give(job_id: str) -> int:
            try:
                job = Job.of_id(self, job_id)
                return order(job) if has_tags(job.tags, tags) else 0
            except UnknownJob:  # deleted meanwhile
                return 0
            except FormatError as error:
                log.warning("job %s is left alone: %s", job_id, printable(error))
                return 0

        return sum(self.repository.map(give, job_ids))


def _wanted(type: str | None, tags: Mapping[str, str] | None, *, verb: str) -> Mapping[str, str]:  # noqa: A002 - as above
    """Return the tags that are wanted, or raise `UsageError` where all jobs would be meant."""
    if type is not None:
        keys.check_type(type)
    if type is None and not tags:
        raise UsageError(
            f"{verb} what? Give a job or task, or all of a type or with tags: q.{verb}(type='score', tags={{'team': 'risk'}})"
        )
    return tags_of(tags or {})
