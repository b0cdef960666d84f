"""The verbs of a job that wait for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Self

from oqkit.client.job_base import JobBase
from oqkit.client.wait import Bar, Waiter, interruptible, limit_s


class JobWaiting(JobBase):
    """Waits, with or without blocking, and shows a bar meanwhile."""

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> Self:
        """Wait until every task has ended, however it ended, and return the job.

        Raise `WaitTimeout` after `timeout` seconds, and `FormatError` if all have ended but those of parts that
        cannot be read here. Ctrl-C stops the waiting, not the work. `progress` shows a bar, by default where a
        person can see it.
        """
        self._wait(timeout, progress=progress)
        self._view.state.check()
        return self

    def _wait(
        self, timeout: float | None, *, progress: bool | None = None, meanwhile: Callable[[], None] | None = None
    ) -> None:
        limit = limit_s(timeout)
        bar = Bar(self._view, workers=self._workers, show=progress, handle=self, blocks=True)

        def on_poll() -> None:
            bar.update()
            if meanwhile is not None:
                meanwhile()

        try:
            with interruptible(self._view):
                self._watch().until(lambda: self._view.state.has_ended, timeout=limit, on_poll=on_poll)
        finally:
            bar.close()
        self._learn_pace()

    def __await__(self) -> Generator[Any, None, Self]:
        """Wait without blocking the kernel: widgets and other cells' coroutines go on."""
        return self._wait_async().__await__()

    async def _wait_async(self) -> Self:
        bar = Bar(self._view, workers=self._workers, show=None, handle=self, blocks=False)
        try:
            with interruptible(self._view):
                await self._watch().until_async(lambda: self._view.state.has_ended, limit_s=None, on_poll=bar.update)
        finally:
            bar.close()
        self._learn_pace()
        self._view.state.check()
        return self

    def _learn_pace(self) -> None:
        """Let the next job of this function be cut by what this one showed."""
        n_rows, elapsed_s = self._view.state.pace()
        self._connection.timer.learn(self._view.state.job, n_rows=n_rows, elapsed_s=elapsed_s)

    def _watch(self) -> Waiter:
        return Waiter(self._view, self._reconciler, workers=self._workers, repository=self._repository)
