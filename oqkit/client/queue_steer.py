"""The verbs of `Queue` that give orders."""

from __future__ import annotations

from oqkit.client.handle import Job
from oqkit.client.option import by_of, from_now, reason_of
from oqkit.client.queue_find import QueueFinding
from oqkit.client.single import Task
from oqkit.errors import UsageError
from oqkit.queue.key import check_type
from oqkit.queue.pause import pause, resume
from oqkit.queue.priority import priority_of


class QueueSteering(QueueFinding):
    """Changes what becomes of jobs that are there, and of the queue."""

    def reprioritize(self, job: Job | Task | str, priority: int | str, *, by: str | None = None) -> int:
        """Give a job or single task (a handle, name or id) another priority, and return it as a number; see `Job.reprioritize`."""
        chosen = priority_of(priority)
        self.job(job).reprioritize(chosen, by=by)
        return chosen

    def pause(
        self,
        reason: str | None = None,
        *,
        resume_after: float | str | None = None,
        type: str | None = None,  # noqa: A002 - the word of the contract
        by: str | None = None,
    ) -> None:
        """Let workers start nothing until `resume`, or for `resume_after` (seconds, or such as ``"10m"``).

        With `type` only tasks of that type. What workers have claimed goes on; they learn of the pause within a second or
        two, and of one of a crowd of more than a thousand open jobs within ten. It takes the place of an earlier pause.
        `by` says who gives the order (None: the user of this process, such as ``ana@laptop``). A single job is paused
        with `Job.pause`.
        """
        _check_whole(reason, verb="pause")
        now, job_type = self.repository.now(), _type_of(type)
        until = None if resume_after is None else from_now(resume_after, now=now, what="resume_after")
        pause(self.repository, job_type=job_type, reason=reason_of(reason), until=until, by=by_of(by))

    def resume(
        self,
        job: None = None,
        *,
        type: str | None = None,  # noqa: A002 - the word of the contract
        by: str | None = None,
    ) -> bool:
        """End the pause of the queue, or with `type` that of a task type; return False if somebody gave a newer one meanwhile.

        A newer one stands. `by`: as in `pause`. A single job is resumed with `Job.resume`.
        """
        _check_whole(job, verb="resume")
        return resume(self.repository, job_type=_type_of(type), by=by_of(by)) is None


def _check_whole(given: object, *, verb: str) -> None:
    """Raise `UsageError` if somebody gives a job to a verb that is about the queue."""
    if isinstance(given, (Job, Task)) or (verb == "resume" and given is not None):
        raise UsageError(
            f"q.{verb} is about the whole queue, or a task type (type=): job.{verb}() or task.{verb}() is about one job"
        )


def _type_of(name: str | None) -> str:
    """Return the name of a task type if it can be one; empty for None."""
    return "" if name is None else check_type(name)
