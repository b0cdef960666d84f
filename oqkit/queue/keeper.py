"""Jobs that were to stay only for some time after their end, and are deleted once that is over.

The sweep meets each of them once, when it is new, and puts up an entry below ``kept/`` that says when it may be over at the earliest. With each
of its steps the entries that are due are looked at: a few names in one listing, and nothing where no job has a `keep`.
One that has to stay is looked at again later.
"""

from __future__ import annotations

from contextlib import suppress

from oqkit.errors import Denied, FormatError, Missing
from oqkit.queue import key as keys
from oqkit.queue.garbage import Collector
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository


class Keeper:
    """What the sweep of one worker does for such jobs."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._collector = Collector(repository)
        self._has_news = False

    def note(self, job: Job) -> None:
        """See to it that a job is looked at when its time may be over."""
        if job.policy.keep_s is not None and job.deleted is None:
            self._repository.loop.put_once(keys.kept_key(job.id, job.created + job.policy.keep_s), b"")
            self._has_news = True

    def take_news(self) -> bool:
        """Return whether there was such a job since this was last asked."""
        had_news, self._has_news = self._has_news, False
        return had_news

    def look(self) -> bool:
        """Delete those whose time is over, a few at a time; return whether there are any at all."""
        page = self._repository.store.list(keys.KEPT, limit=self._repository.limits.queue.kept_jobs)
        for entry in page.entries:
            with suppress(FormatError, Denied):  # another worker may have the right
                job_id, when = keys.parse_kept(entry.key)
                if when <= self._repository.now():
                    self._settle(entry.key, job_id)
        return bool(page.entries)

    def _settle(self, entry: str, job_id: str) -> None:
        """Delete the job of an entry, or look at it again later; the entry goes last."""
        self._collector.collect_job(job_id)
        with suppress(Missing):
            self._repository.read_job(job_id)
            again = self._repository.now() + self._repository.limits.queue.kept_again_s
            self._repository.loop.put_once(keys.kept_key(job_id, again), b"")
        self._repository.delete_quietly(entry)
