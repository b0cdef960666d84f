"""Which jobs a worker can run, and with what: its own tasks by name, and shipped code if it trusts that."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from oqkit.claim.poller import Topics
from oqkit.errors import FormatError, Missing, UnknownTask, UsageError
from oqkit.printable import printable
from oqkit.queue.job import Code, Job
from oqkit.queue.repository import Repository
from oqkit.task.code import load_code
from oqkit.task.function import TaskFunction
from oqkit.task.handler import Handler

log = logging.getLogger(__name__)


class HandlerRegistry:
    """The handlers of one worker; functions by value are loaded once."""

    def __init__(self, repository: Repository, tasks: Iterable[TaskFunction], *, trusts_code: bool) -> None:
        self._repository = repository
        self._trusts_code = trusts_code
        self._own: dict[str, Handler] = {}
        for task in tasks:
            if task.name in self._own and self._own[task.name].task is not task:
                raise UsageError(f"two tasks are named {task.name!r}: give one of them another, @oq.task(name=...)")
            self._own[task.name] = Handler(task)
        if not self._own and not trusts_code:
            raise UsageError("a worker needs functions to run: pass tasks, or let it trust shipped code")
        self._loaded: dict[Code, Handler | None] = {}

    def topics(self) -> Topics:
        """Return which jobs to look for."""
        return Topics(types=frozenset(self._own), everything=self._trusts_code)

    def can_run(self, job: Job) -> bool:
        """Whether there is a handler for a job; loads its code if need be."""
        return self.handler(job) is not None

    def handler(self, job: Job) -> Handler | None:
        """Return the handler of a job, or None. Code from the queue is never touched without trust (guarantee G7)."""
        if not job.code.digest and job.type in self._own:
            return self._own[job.type]
        if not self._trusts_code or job.code == Code():
            return None
        if job.code not in self._loaded:
            self._loaded[job.code] = self._load(job)
        return self._loaded[job.code]

    def _load(self, job: Job) -> Handler | None:
        try:
            return Handler(load_code(self._repository, job.code))
        except (UnknownTask, FormatError, Missing) as error:
            log.warning("job %s (%s) is left to other workers: %s", printable(job.name) or job.id, job.type, error)
            return None
