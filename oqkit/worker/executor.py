"""Where the user's function runs: in a thread of this process, or (see `process`) in a child process."""

from __future__ import annotations

import logging
from typing import Protocol

from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import Work, run
from oqkit.worker.thread import Event, SystemThreads, Threads

log = logging.getLogger(__name__)


class Execution(Protocol):
    """Work that is being run onto a buffer."""

    @property
    def finished(self) -> Event:
        """Return what is set when nothing more will come onto the buffer."""

    @property
    def crash(self) -> str:
        """Return why the running ended before its time (how the process died), or an empty string."""

    def abandon(self) -> None:
        """Give the work up at once: whatever is still running must leave no trace."""


class Executor(Protocol):
    """Starts work; one for each slot of a worker."""

    def start(self, work: Work, buffer: ResultBuffer) -> Execution:
        """Begin to run `work` in the background."""

    def close(self) -> None:
        """Free what the executor holds."""


class ThreadExecution:
    """Work in a daemon thread. It cannot be killed: abandoned, it ends with its present call, unheard."""

    def __init__(self, work: Work, buffer: ResultBuffer, threads: Threads) -> None:
        self.crash = ""
        self.finished = threads.event()
        self._work = work
        self._buffer = buffer
        threads.start(self._run, name="oqkit-run")

    def _run(self) -> None:
        try:
            run(self._work, self._buffer)
        except Exception as error:  # not the user's function, but a thread has nobody to raise to
            log.exception("running job %s broke", self._work.job_id)
            self.crash = f"{type(error).__name__}: {error}"
        finally:
            self.finished.set()

    def abandon(self) -> None:
        """Start no further call."""
        self._buffer.limit = 0


class ThreadExecutor:
    """Runs work in threads of this process."""

    def __init__(self, threads: Threads | None = None) -> None:
        self._threads = threads or SystemThreads()

    def start(self, work: Work, buffer: ResultBuffer) -> ThreadExecution:
        """Begin to run `work` in a new thread."""
        return ThreadExecution(work, buffer, self._threads)

    def close(self) -> None:
        """Hold nothing."""
