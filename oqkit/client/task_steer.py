"""The verbs of a task that are those of its job, for a job of one; and what a row of a job can say of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from oqkit.client.handle import Job
from oqkit.errors import UsageError
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus


class TaskSteering(ABC):
    """Orders that a job takes as a whole: a single task is a job of one, and of a task of many they say what to do."""

    job: Job
    row: int

    @property
    @abstractmethod
    def id(self) -> str:
        """The task's id."""

    @property
    @abstractmethod
    def status(self) -> str:
        """How it is."""

    @property
    def name(self) -> str:
        """The name of its job; empty for a single task."""
        return self.job.name

    @property
    def type(self) -> str:
        """The task type."""
        return self.job.type

    def counts(self) -> dict[str, int]:
        """Return 1 for the status that it is in, and 0 for the others, as `Job.counts` does for many. Asks the queue."""
        known = {status.value: 0 for status in Status}
        return {**known, self.status: 1}

    def why(self) -> str:
        """Return why nothing happens to it, as `Job.why` does; empty once it runs or has ended. Asks the queue."""
        is_waiting = self.status in {Status.PENDING.value, JobStatus.BLOCKED.value}
        return self.job.why() if is_waiting else ""

    def pause(
        self, reason: str | None = None, *, resume_after: float | str | None = None, by: str | None = None
    ) -> None:
        """Let no worker start it until `resume`; see `Job.pause`. Raise `UsageError` for one of a job of many."""
        self._only("pause").pause(reason, resume_after=resume_after, by=by)

    def resume(self, *, by: str | None = None) -> None:
        """End its pause; see `Job.resume`. Raise `UsageError` for one of a job of many."""
        self._only("resume").resume(by=by)

    def reprioritize(self, priority: int | str, *, by: str | None = None) -> None:
        """Give it another priority; see `Job.reprioritize`. Raise `UsageError` for one of a job of many."""
        self._only("reprioritize").reprioritize(priority, by=by)

    def tag(
        self, tags: Mapping[str, str | None] | None = None, /, *, by: str | None = None, **more: str | None
    ) -> None:
        """Set tags, or remove those that are None; see `Job.tag`. Raise `UsageError` for one of a job of many."""
        self._only("tag").tag(tags, by=by, **more)

    def delete(self, *, cancel: bool = False, by: str | None = None) -> None:
        """Delete the task, its input and its result; see `Job.delete`. Raise `UsageError` for one of a job of many."""
        self._only("delete").delete(cancel=cancel, by=by)

    def _only(self, verb: str = "") -> Job:
        """Return the job of which this is the only task, or raise `UsageError`: what is asked of it is for all tasks together."""
        call = f".{verb}(…)" if verb else ""
        if len(self.job) > 1:
            raise UsageError(
                f"task {self.id} is one of {len(self.job):,} of job {self.job.name or self.job.id!r}, which go together: "
                f"task.job{call}, or oq.job({self.job.id!r}){call}, is about them all"
            )
        return self.job
