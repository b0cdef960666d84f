"""The handle of one task: the verbs of a job, for a single row."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pandas as pd

from oqkit.arrow.value import decode_values
from oqkit.client.connection import Connection
from oqkit.client.handle import Job
from oqkit.client.wait import interruptible, limit_s
from oqkit.errors import FormatError, IllegalTransition, JobFailed, UsageError
from oqkit.printable import printable
from oqkit.queue.job import Job as JobObject
from oqkit.queue.key import task_id
from oqkit.queue.reconcile import is_overdue
from oqkit.queue.task_state import TaskState
from oqkit.queue.transition import Status, Verb

# ruff: noqa: SLF001 - a task and its job are two halves of one handle


class Task:
    """One task: the same verbs as a job, for a single row."""

    def __init__(self, connection: Connection, job: JobObject, row: int = 0) -> None:
        if not 0 <= row < job.n_tasks:
            raise UsageError(f"job {printable(job.name) or job.id} has rows 0 to {job.n_tasks - 1}, not {row}")
        self.job = Job(connection, job)
        self.row = row
        self._repository = connection.repository
        self._part, self._row = job.locate(row)

    @property
    def id(self) -> str:
        """The task's id: job id, dot, row."""
        return task_id(self.job.id, self.row)

    def __repr__(self) -> str:
        return f"<oqkit task {self.id} of type {self.job.type!r}>"

    @property
    def status(self) -> str:
        """pending, running, completed, failed, cancelled or expired. Asks the queue, in one request."""
        return self._state().status.value

    @property
    def attempt(self) -> int:
        """How often the task has been claimed. Asks the queue."""
        return self._state().attempt

    def _state(self) -> TaskState:
        job = self.job._view.state.job
        part = self._repository.read_part(job, self._part).doc
        if is_overdue(part, job, self._repository.now()):
            self.job._refresh()
            part = self.job._view.state.part(self._part)
        return part.state_at(self._row)

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
        state = self.job._view.state.part(self._part).state_at(self._row)
        if state.status is not Status.COMPLETED:
            error = self.error()
            told = f"{error['type']}: {error['message']}\n{error['traceback']}" if error is not None else state.status
            raise JobFailed(f"task {self.id} did not complete: {printable(told, keeps_lines=True)}", self._failures())
        for rows, values in self.job._collector.pieces():
            place = np.flatnonzero(rows == self.row)
            if len(place):
                return decode_values(values.slice(int(place[0]), 1))[0]
        for reason in self.job._collector.unreadable()["message"]:
            raise FormatError(f"task {self.id} completed, but its result cannot be read: {reason}")
        raise AssertionError(f"completed task {self.id} has no output")

    def error(self) -> dict[str, Any] | None:
        """Return the failure (type, message, traceback, attempt, worker), or None if the task has not failed."""
        mine = self._failures()
        return dict(mine.iloc[0]) if len(mine) else None

    def _failures(self) -> pd.DataFrame:
        errors = self.job.errors()
        return errors[errors["row"] == self.row]

    def cancel(self, *, reason: str | None = None, by: str | None = None) -> None:
        """Cancel the task; raise `IllegalTransition` if it has ended otherwise. Cancelling twice is fine.

        `by` says who gives the order, for `history` (None: the user of this process).
        """
        self.job.cancel([self.row], reason=reason, by=by)
        status = self._state().status
        if status is not Status.CANCELLED:
            raise IllegalTransition(Verb.CANCEL, status)

    def retry(self, *, fn: Callable[..., object] | None = None, by: str | None = None) -> None:
        """Run the task again; raise `IllegalTransition` unless it failed, expired or was cancelled."""
        if not self.job.retry([self.row], fn=fn, by=by):
            raise IllegalTransition(Verb.REOPEN, self._state().status)
