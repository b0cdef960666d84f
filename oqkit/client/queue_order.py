"""The verbs of `Queue` that give one order to several jobs: all of a task type, or all with some tags."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from oqkit.client.affected import Affected
from oqkit.client.handle import Job
from oqkit.client.option import by_of, reason_of, tags_of, whole
from oqkit.client.queue_find import QueueFinding
from oqkit.client.selection import statuses_of
from oqkit.client.single import Task
from oqkit.errors import FormatError, Missing, OqError, StoreError, Unavailable, UsageError
from oqkit.printable import printable
from oqkit.queue import control
from oqkit.queue import key as keys
from oqkit.queue.listing import Filter, newest_jobs, open_jobs, tagged_jobs
from oqkit.queue.transition import Status

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
        dry_run: bool = False,
    ) -> Affected:
        """Cancel what has not ended of a job or task (a handle, name or id), and return how many tasks that were.

        Or of all open jobs of a task `type`, or with these `tags`, or both. Those of a type are found by their markers and those
        with tags by the index of tags: what a dead process did not put up is missed until a worker has found it (see `Job.cancel`
        for the rest). A job that cannot be cancelled is named in a warning and in the `failures` of what is returned, and
        the others are done. Cancelling again changes nothing, and gives 0. With `dry_run` nothing is cancelled, only counted.
        """
        reason, given_by = reason_of(reason), by_of(by)

        def order(one: Job) -> int:
            if dry_run:
                return self._count(one, control.CANCELLABLE)
            return 0 if one.done() else one.cancel(reason=reason, by=given_by)

        if job is not None:
            rows, handle = self._chosen(job, type=type, tags=tags)
            if dry_run:
                return _one(handle, self._count(handle, control.CANCELLABLE, rows))
            return _one(handle, handle.cancel("all" if rows is None else rows, reason=reason, by=given_by))
        wanted = _wanted(type, tags, verb="cancel")
        pages = tagged_jobs(self.repository, wanted.tags) if wanted.tags else open_jobs(self.repository, job_type=type)
        return self._each(pages, wanted, order)

    def retry(
        self,
        job: Job | Task | str | None = None,
        where: str = "failed",
        *,
        type: str | None = None,  # noqa: A002 - the word of the contract
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        by: str | None = None,
        dry_run: bool = False,
    ) -> Affected:
        """Run again what failed of a job or task (a handle, name or id), and return how many tasks those are.

        Or of all jobs with these `tags`, or of the newest `limit` jobs of a task `type`, or both. `where` as in
        `Job.retry`, which also takes a corrected function. `failures` and `dry_run` as in `cancel`.
        """
        given_by = by_of(by)

        def order(one: Job) -> int:
            return self._count(one, _retryable(where)) if dry_run else one.retry(where, by=given_by)

        if job is not None:
            rows, handle = self._chosen(job, type=type, tags=tags)
            if dry_run:
                return _one(handle, self._count(handle, _retryable(where if rows is None else "all"), rows))
            return _one(handle, handle.retry(where if rows is None else rows, by=given_by))
        wanted = _wanted(type, tags, verb="retry")
        n_most = whole(limit, what="limit", low=1, high=10**6)
        if wanted.tags:
            return self._each(tagged_jobs(self.repository, wanted.tags), wanted, order)
        newest = newest_jobs(self.repository, limit=n_most, wanted=wanted).jobs
        return self._each([[one.id for one in newest]], wanted, order)

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
        return ([job.row], job.job) if isinstance(job, Task) else (None, self.job(job))

    def _count(self, job: Job, statuses: tuple[Status, ...], rows: list[int] | None = None) -> int:
        """Return how many tasks of a job, or of some rows of it, are in these statuses."""
        if rows is None:
            counts = job._own_counts()  # noqa: SLF001 - an order concerns no task of another job
            return sum(counts[status] for status in statuses)
        return sum(self.get(keys.task_id(job.id, row)).status in statuses for row in rows)

    def _each(self, pages: Iterable[Iterable[str]], wanted: Filter, order: Callable[[Job], int]) -> Affected:
        """Give an order to those of the jobs that are wanted; return how many tasks it concerns in all."""
        tasks: dict[str, int] = {}
        failures: dict[str, OqError] = {}
        gone: list[Unavailable] = []

        def give(job_id: str) -> None:
            try:
                if gone:
                    raise Unavailable(f"not tried, after another job failed: {gone[0]}")
                job = self.repository.read_job(job_id).doc
                if wanted.admits(job) and (n_tasks := order(Job(self, job))):
                    tasks[job_id] = n_tasks
            except Missing:  # deleted meanwhile
                return
            except (FormatError, StoreError) as error:
                if isinstance(error, Unavailable):
                    gone.append(error)
                failures[job_id] = error
                log.warning("job %s is left alone: %s", job_id, printable(error))

        for page in pages:
            self.repository.map(give, page)
        return Affected.of(tasks, failures)


def _one(job: Job, n_tasks: int) -> Affected:
    return Affected.of({job.id: n_tasks}, {})


def _retryable(where: str) -> tuple[Status, ...]:
    return statuses_of(where, control.RETRYABLE)


def _wanted(type: str | None, tags: Mapping[str, str] | None, *, verb: str) -> Filter:  # noqa: A002 - as above
    """Return which jobs are wanted, or raise `UsageError` where all jobs would be meant."""
    if type is not None:
        keys.check_type(type)
    if type is None and not tags:
        raise UsageError(
            f"{verb} what? Give a job or task, or all of a type or with tags: q.{verb}(type='score', tags={{'team': 'risk'}})"
        )
    return Filter(type=type, tags=tags_of(tags or {}))
