"""Where the user's function runs: in a thread of this process, or (see `process`) in a child process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from oqkit.queue.rows import Rows
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

    @property
    def was_killed(self) -> bool:
        """Whether it was ended by force from outside, as the kernel does when memory runs out: by whom is not known."""

    @property
    def is_killable(self) -> bool:
        """Whether `abandon` ends a call that goes on; otherwise that ends by itself."""

    @property
    def is_refused(self) -> bool:
        """Whether the work could not get to where it was to run: then no row was started."""

    def stop(self, at: int) -> None:
        """Start no row from position `at` on; `stopped` then says how many had been started."""

    def stopped(self) -> int | None:
        """Return how many rows had been started when the last `stop` took effect; None until that is known."""

    def disown(self, rows: Rows) -> None:
        """Let the calls of these rows know that their outcome will not be used; they go on."""

    def abandon(self) -> None:
        """Give the work up at once: whatever is still running must leave no trace."""


class Executor(Protocol):
    """Starts work; one for each slot of a worker."""

    def start(self, work: Work, buffer: ResultBuffer) -> Execution:
        """Begin to run `work` in the background."""

    def isolating(self) -> Executor | None:
        """Return the executor for rows that may kill their process: one whose death costs nothing else; None without."""

    def close(self) -> None:
        """Free what the executor holds."""


class ThreadExecution:
    """Work in a daemon thread. It cannot be killed: abandoned, it ends with its present call, unheard."""

    is_killable = is_refused = was_killed = False

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

    def stop(self, at: int) -> None:
        """Start no row from position `at` on."""
        self._buffer.limit = min(at, self._buffer.limit)

    def stopped(self) -> int:
        """Return how many rows were started: known at once, since the interpreter lock orders this and the loop."""
        return self._buffer.taken

    def disown(self, rows: Rows) -> None:
        """Let the calls of these rows know that their outcome will not be used."""
        self._buffer.unwanted |= rows

    def abandon(self) -> None:
        """Start no further call, and let the present one know."""
        self._buffer.unwanted = self._work.rows
        self._buffer.limit = 0


class ThreadExecutor:
    """Runs work in threads of this process; `isolating` makes what runs rows that may kill their process."""

    def __init__(
        self, threads: Threads | None = None, *, isolating: Callable[[], Executor | None] = lambda: None
    ) -> None:
        self._threads = threads or SystemThreads()
        self._make_isolating = isolating
        self._isolating: Executor | None = None

    def start(self, work: Work, buffer: ResultBuffer) -> Execution:
        """Begin to run `work` in a new thread."""
        return ThreadExecution(work, buffer, self._threads)

    def isolating(self) -> Executor | None:
        """Return what runs rows that may kill their process; made when it is first needed."""
        if self._isolating is None:
            self._isolating = self._make_isolating()
        return self._isolating

    def close(self) -> None:
        """End what `isolating` made."""
        if self._isolating is not None:
            self._isolating.close()
            self._isolating = None
