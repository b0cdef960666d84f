"""A future of a task: it is settled by the watch that all futures of an executor share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol

from oqkit.client.handle import Job
from oqkit.client.single import Task
from oqkit.errors import IllegalTransition, JobFailed
from oqkit.queue.transition import Status

# ruff: noqa: SLF001 - a future is a handle of a task in another form


class Withdrawing(Protocol):
    """What knows which calls are not stored yet."""

    def withdraw(self, future: TaskFuture, /) -> bool:
        """Forget a call that is not stored yet; False if it is."""


class TaskFuture(Future[Any]):
    """A `concurrent.futures.Future` whose call is a task in the queue, and goes on there whatever becomes of this process."""

    def __init__(self, watch: Withdrawing) -> None:
        super().__init__()
        self._watch = watch
        self._task: Future[Task] = Future()
        self._settling = threading.RLock()

    @property
    def task(self) -> Task:
        """The task, whose `id` finds it again: ``oq.Executor(q).future(id)``. Waits until it is stored; raises what kept it from that."""
        return self._task.result()

    @property
    def job(self) -> Job:
        """The job that the task is in, maybe with others."""
        return self.task.job

    def running(self) -> bool:
        """Whether a worker runs it, as far as was last seen."""
        return not self.done() and self._last_seen() is Status.RUNNING

    def pending(self) -> bool:
        """Whether no worker had begun it when that was last seen."""
        return not self.done() and self._last_seen() in {None, Status.PENDING}

    def _last_seen(self) -> Status | None:
        if not self._task.done() or self._task.cancelled() or self._task.exception() is not None:
            return None
        task = self._task.result()
        state = task.job._view.state
        return None if task._part in state.unreadable else state.part(task._part).state_at(task._row).status

    def cancel(self) -> bool:
        """Cancel the task, and return whether it is. A running one is cancelled, too: its worker is told, and its result is not used."""
        if self.done():
            return self.cancelled()
        if not self._watch.withdraw(self):
            try:
                self.task.cancel(reason="its future was cancelled")
            except (IllegalTransition, CancelledError):
                return self.cancelled()
        self.settle_as_cancelled()
        return self.cancelled()

    # --- for the watch ---------------------------------------------------------------------------

    def stored(self, task: Task) -> None:
        """Take the task that it is now."""
        self._task.set_result(task)

    def fail(self, error: BaseException) -> None:
        """Raise `error` to everybody who waits: the call could not be stored, or its task cannot be watched any more."""
        if not self._task.done():
            self._task.set_exception(error)
        self._settle(error=error)

    def settle_as_cancelled(self) -> None:
        """Be cancelled, unless it has ended otherwise."""
        with self._settling:
            if self.done():
                return
            super().cancel()
            self.set_running_or_notify_cancel()  # tells those who wait for several
        if not self._task.done():
            self._task.set_exception(CancelledError())

    def settle(self, outcome: Callable[[Task], Any], error_of: Callable[[JobFailed], BaseException]) -> None:
        """Take the outcome of a task that has ended; raise `Unavailable` if it cannot be read now."""
        task = self._task.result()
        if self._last_seen() is Status.CANCELLED:
            self.settle_as_cancelled()
            return
        try:
            value = outcome(task)
        except JobFailed as failed:
            self._settle(error=error_of(failed))
        else:
            self._settle(value)

    def _settle(self, value: Any = None, *, error: BaseException | None = None) -> None:
        with self._settling:
            if self.done():
                return
            self.set_running_or_notify_cancel()
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
