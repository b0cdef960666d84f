"""A child process of a simulated worker: a green thread that can be killed, and that can die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from oqkit.errors import OqError
from oqkit.queue.rows import Rows
from oqkit.task.request import Request
from oqkit.testing.simulation.green_thread import SimThreads
from oqkit.testing.simulation.kernel import current
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import Work, run
from oqkit.worker.executor import Execution, Executor
from oqkit.worker.thread import Event


class ProcessLikeExecution:
    """Work that can be killed, and that can die: both at once, and with nothing but the buffer left behind."""

    is_killable = True
    is_refused = False

    def __init__(self, work: Work, buffer: ResultBuffer, threads: SimThreads) -> None:
        self.finished: Event = threads.event()
        self.crash = ""
        self.was_killed = False
        self._threads = threads
        self._work = replace(work, ask=partial(self._pass_on, work.ask))
        self._buffer = buffer
        self._task = threads.start(self._run, name="run").task
        self._task.context = self

    def _run(self) -> None:
        run(self._work, self._buffer)
        self.finished.set()

    def _pass_on(self, answer: Callable[[Rows, Request], object], rows: Rows, request: Request) -> object:
        """Let another thread answer, as that of the parent does: it goes on if this one is killed meanwhile."""
        found: list[object] = []
        has_ended = self._threads.event()

        def ask() -> None:
            try:
                found.append(answer(rows, request))
            except OqError as error:
                found.append(error)
            has_ended.set()

        self._threads.start(ask, name="answer")
        has_ended.wait()
        if isinstance(found[0], OqError):
            raise found[0]
        return found[0]

    def die(self, *, by_force: bool) -> None:
        """Crash; called from within."""
        self.crash, self.was_killed = "killed by signal 9" if by_force else "exited with code 7", by_force
        self.finished.set()
        current().park()

    def stop(self, at: int) -> None:
        """Start no row from position `at` on."""
        self._buffer.limit = min(at, self._buffer.limit)

    def stopped(self) -> int:
        """Return how many rows were started."""
        return self._buffer.taken

    def disown(self, rows: Rows) -> None:
        """Let the calls of these rows know that their outcome will not be used."""
        self._buffer.unwanted |= rows

    def abandon(self) -> None:
        """Kill it: it never goes on."""
        self._task.ticket += 1
        self.finished.set()


class ProcessLikeExecutor:
    """Runs each piece of work in a process of its own."""

    def __init__(self, threads: SimThreads) -> None:
        self._threads = threads

    def start(self, work: Work, buffer: ResultBuffer) -> Execution:
        return ProcessLikeExecution(work, buffer, self._threads)

    def isolating(self) -> Executor:
        """Return this one."""
        return self

    def close(self) -> None:
        """Hold nothing."""
