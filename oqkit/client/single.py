"""The handle of one task: the verbs of a job, for a single row."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, Self

from oqkit.client.connection import Connection
from oqkit.client.handle import Job
from oqkit.client.option import utc
from oqkit.client.task_steer import TaskSteering
from oqkit.client.wait import interruptible, limit_s
from oqkit.errors import IllegalTransition, JobFailed, JobMissing, UsageError
from oqkit.printable import printable
from oqkit.queue.job import Job as JobObject
from oqkit.queue.key import parse_task_id, task_id
from oqkit.queue.part import Part
from oqkit.queue.progress import Progress
from oqkit.queue.reconcile import is_overdue
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState
from oqkit.queue.timing import Timing, timing
from oqkit.queue.transition import Status, Verb
from oqkit.queue.view import JobStatus
from oqkit.task.function import Options, TaskFunction

# ruff: noqa: SLF001 - a task and its job are two halves of one handle


class Task(TaskSteering):
    """One task: the same verbs as a job, for a single row."""

    def __init__(
        self, connection: Connection, job: JobObject | Job, row: int = 0, *, function: TaskFunction | None = None
    ) -> None:
        """`job` is stored, or a handle: tasks of one handle share what it knows."""
        self.job = job if isinstance(job, Job) else Job(connection, job, function=function)
        stored = self.job._view.state.job
        if not 0 <= row < stored.n_tasks:
            raise UsageError(f"job {printable(stored.name) or stored.id} has rows 0 to {stored.n_tasks - 1}, not {row}")
        self.row = row
        self._repository = connection.repository
        self._connection = connection
        self._part, self._row = stored.locate(row)

    @classmethod
    def of_id(cls, connection: Connection, text: str) -> Self:
        """Return the handle of a task, or raise `UnknownJob`."""
        job_id, row = parse_task_id(text)
        try:
            return cls(connection, connection.repository.read_job(job_id).doc, row)
        except JobMissing as error:
            raise error.named(f"no task has the id {text!r} in {connection.url}") from None

    def __eq__(self, other: object) -> bool:
        """Whether both are handles of one task."""
        return (self.job, self.row) == (other.job, other.row) if isinstance(other, Task) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.job, self.row))

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Connection, str]]:
        return type(self).of_id, (self._connection, self.id)

    @property
    def id(self) -> str:
        """The task's id: job id, dot, row."""
        return task_id(self.job.id, self.row)

    def __repr__(self) -> str:
        return f"<oqkit task {self.id} of type {self.job.type!r}>"

    # --- what was submitted ----------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """What it was submitted with: a value, or of a row of a frame a dict of the columns that are stored.

        Read when it is asked for, which costs a request where the job does not hold it itself.
        """
        return next(iter(self.job._inputs(self._part).values(Rows.span(self._row, self._row + 1))))

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its job."""
        return self.job.tags

    @property
    def options(self) -> Options:
        """The options that hold for it; see `Job.options`."""
        return self.job.options

    @property
    def created(self) -> datetime:
        """When it was submitted, in UTC by the store's clock."""
        return self.job.created

    # --- how it is -------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """pending, blocked, running, completed, failed, cancelled or expired. Asks the queue, in one request."""
        status, view = self._state().status, self.job._view
        if status is Status.PENDING and view.state.job.is_blocked(self._repository.now()) and view.refresh().is_blocked:
            return JobStatus.BLOCKED.value
        return status.value

    @property
    def attempt(self) -> int:
        """How often the task has been claimed. Asks the queue."""
        return self._state().attempt

    @property
    def reschedules(self) -> int:
        """How often it asked to be put back since it was submitted, or retried by hand. Asks the queue."""
        return self._state().reschedules

    @property
    def progress(self) -> Progress | None:
        """What its call last said of itself (``current``, ``total``, ``message``, ``fraction``), while it runs; None if nothing.

        As old as the last heartbeat of the worker, which comes every third of a lease. Asks the queue.
        """
        return next((one for one in self._read_part().progress() if self._row in one.rows), None)

    @property
    def started(self) -> datetime | None:
        """When a worker last took it, in UTC; None if none has, or the queue does not remember. Asks the queue."""
        return self._moment(lambda timing: timing.started)

    @property
    def completed(self) -> datetime | None:
        """When it ended, however it did, in UTC; None if it has not, or the queue does not remember. Asks the queue."""
        return self._moment(lambda timing: timing.ended)

    def _moment(self, which: Callable[[Timing], float | None]) -> datetime | None:
        at = which(timing(self._repository, self.job._view.state.job, self._read_part(), self._row))
        return None if at is None else utc(at)

    def _state(self) -> TaskState:
        return self._read_part().state_at(self._row)

    def _read_part(self) -> Part:
        view = self.job._view
        part = view.refresh().part(0) if view.state.job.n_parts == 1 else self._read_one_of_many()
        if is_overdue(part, view.state.job, self._repository.now()):
            self.job._refresh()
            part = view.state.part(self._part)
        return part

    def _read_one_of_many(self) -> Part:
        held = self._repository.read_part(self.job._view.state.job, self._part)
        if held.etag is None:
            self.job._view.check_there()
        elif held.doc.state_at(self._row).status.is_final:
            self.job._view.check_there(after_s=self._repository.limits.queue.deleted_first_look_s)
        return held.doc

    def done(self) -> bool:
        """Whether the task has ended. Asks the queue."""
        return bool(self._state().status.is_final)

    def wait(self, timeout: float | None = None) -> Task:
        """Wait until the task has ended; raise `WaitTimeout` after `timeout` seconds."""
        view = self.job._view
        with interruptible(view):
            self.job._watch().until(self._is_final, timeout=limit_s(timeout))
        return self

    def _is_final(self) -> bool:
        return self.job._view.state.part(self._part).state_at(self._row).status.is_final

    def __await__(self) -> Generator[Any, None, Task]:
        """Wait without blocking the event loop."""
        return self._wait_async().__await__()

    async def _wait_async(self) -> Task:
        await self.job._watch().until_async(self._is_final, limit_s=None)
        return self

    def result(self, timeout: float | None = None) -> Any:
        """Wait, and return what the function returned; raise `JobFailed` if the task did not complete."""
        self.wait(timeout)
        return self._outcome()

    def _outcome(self) -> Any:
        """Do so of a task that is known to have ended."""
        part = self.job._view.state.part(self._part)
        status = part.state_at(self._row).status
        if status is Status.COMPLETED:
            return self.job._collector.value(part, self._row)
        failures = self.job._collector.errors_of(part, self._row)
        told = next((f"{it.type}: {it.message}\n{it.traceback}" for it in failures.itertuples()), status.value)
        raise JobFailed(f"task {self.id} did not complete: {printable(told, keeps_lines=True)}", failures)

    def error(self) -> dict[str, Any] | None:
        """Return the last error (type, message, line, traceback, attempt, worker) of a task that failed, or waits for its retry.

        None if it has no error, or completed after all. Asks the queue.
        """
        failures = self.job._collector.errors_of(self._read_part(), self._row)
        return dict(failures.iloc[0]) if len(failures) else None

    def debug(self, *, fn: Callable[..., object] | None = None) -> Any:
        """Run it here once more, with the input that is stored; see `Job.debug`."""
        return self.job._debug(self.row, fn)

    def cancel(self, reason: str | None = None, *, by: str | None = None) -> None:
        """Cancel the task; raise `IllegalTransition` if it has ended otherwise. Cancelling twice is fine.

        `by` says who gives the order, for `history` (None: the user of this process).
        """
        self.job.cancel([self.row], reason=reason, by=by)
        status = self._state().status
        if status is not Status.CANCELLED:
            raise IllegalTransition(Verb.CANCEL, status)

    def signal(self, name: str, value: object = None, *, by: str | None = None) -> None:
        """Send a value to the task alone, for ``ctx.wait_for_signal(name)``; see `Job.signal`."""
        self.job._signal(name, value, rows=Rows.span(self.row, self.row + 1), by=by)

    def retry(self, *, fn: Callable[..., object] | None = None, by: str | None = None) -> None:
        """Run the task again; raise `IllegalTransition` unless it failed, expired or was cancelled."""
        if not self.job.retry([self.row], fn=fn, by=by):
            raise IllegalTransition(Verb.REOPEN, self._state().status)
