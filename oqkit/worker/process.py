"""Running work in a child process, which can be killed, and whose crash costs one row an attempt.

The process itself is in `oqkit.worker.child_process`, and what it does in `oqkit.worker.child`.
"""

from __future__ import annotations

import logging
import pickle
import sys
import threading
from dataclasses import replace
from typing import Any, assert_never

from oqkit.errors import LeaseLost, SchemaError, TaskError, UsageError
from oqkit.limits import Limits
from oqkit.queue.rows import Rows
from oqkit.task.failure import text_of, type_name
from oqkit.task.modules import LoadedModules
from oqkit.task.request import Request
from oqkit.worker.buffer import ResultBuffer, Results
from oqkit.worker.call import Work, fail, lay_table, refuse
from oqkit.worker.child_process import ChildProcess
from oqkit.worker.wire import Answer, Disown, Kind, Stop

log = logging.getLogger(__name__)


class ProcessExecutor:
    """Runs work in a child process that serves many leases, and is replaced when it died."""

    def __init__(self, limits: Limits) -> None:
        if sys.platform == "win32":
            raise UsageError("executor='process' needs Linux or macOS; on Windows start more workers instead")
        self._limits = limits
        self._modules = LoadedModules()
        """How the source files of this process looked when they were imported: a child imports them later."""
        self._child: ChildProcess | None = None
        self._execution: ProcessExecution | None = None

    def start(self, work: Work, buffer: ResultBuffer) -> ProcessExecution:
        """Begin to run `work` in the child."""
        self._settle()
        if self._child is None or not self._child.is_alive():
            self._child = ChildProcess(self._modules, limits=self._limits)
        self._execution = ProcessExecution(work, buffer, self._child)
        return self._execution

    def isolating(self) -> ProcessExecutor:
        """Return this one: a child that dies takes nothing with it."""
        return self

    def close(self) -> None:
        """End the child: at once if it still runs something."""
        self._settle()
        if self._child is not None:
            self._child.end()
            self._child = None

    def _settle(self) -> None:
        if self._execution is not None:
            if not self._execution.finished.is_set():
                self._execution.abandon()
            self._execution.detach()
            self._execution = None


class ProcessExecution:
    """Work in a child process, and the thread that lays what comes from there onto the buffer."""

    is_killable = True

    def __init__(self, work: Work, buffer: ResultBuffer, child: ChildProcess) -> None:
        self.crash = ""
        self.is_refused = False
        self.finished = threading.Event()
        self._work = work
        self._buffer = buffer
        self._child = child
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._serial = -1
        self._trouble = ""
        self._stop_at: int | None = None
        self._stopped: int | None = None
        for cell, value in enumerate(buffer.meter):
            child.meter[cell] = value
        buffer.meter = child.meter
        threading.Thread(target=self._run, name="oqkit-process", daemon=True).start()

    @property
    def was_killed(self) -> bool:
        """Whether the child was ended by force, and not by this process."""
        return bool(self.crash) and self._child.was_killed

    def stop(self, at: int) -> None:
        """Start no row from position `at` on; `stopped` then says how many had been started."""
        with self._lock:
            if self._stop_at is not None and at >= self._stop_at:
                return  # asked already; a child that does not read must not fill the pipe
            self._stopped, self._stop_at = None, at
            if self._serial >= 0:
                self._child.tell(Stop(serial=self._serial, at=at))

    def disown(self, rows: Rows) -> None:
        """Let the calls of these rows know that their outcome will not be used."""
        with self._lock:
            self._buffer.unwanted |= rows
            if self._serial >= 0:
                self._child.tell(Disown(serial=self._serial, rows=rows))

    def stopped(self) -> int | None:
        """Return how many rows had been started when a stop took effect; None until that is known."""
        return self._buffer.taken if self.finished.is_set() else self._stopped

    def abandon(self) -> None:
        """Kill the child; nothing reaches the buffer any more, and its numbers stand still."""
        self._is_abandoned = True
        self._child.kill()
        with self._lock:  # what is being laid is laid
            self.crash = ""
            self.finished.set()

    def detach(self) -> None:
        """Give the buffer its own copy of the numbers, so that the next work can use the shared ones."""
        self._buffer.meter = list(self._buffer.meter)

    def _run(self) -> None:
        crash = ""
        try:
            crash = self._serve()
        except Exception as error:  # not the user's function, but a thread has nobody to raise to
            log.exception("running job %s broke", self._work.job_id)
            self._child.kill()
            crash = f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                self.crash = "" if self._is_abandoned else crash
                self.finished.set()

    def _serve(self) -> str:
        """Give the order, lay what comes, and return why it ended early, if it did."""
        child = self._child
        try:
            serial = child.order(self._work)
        except UsageError as error:  # neither the function nor the inputs can get there: no row can run
            self._refuse(error)
            return ""
        with self._lock:
            self._serial = serial
            if self._stop_at is not None:
                child.tell(Stop(serial=serial, at=self._stop_at))
            if self._buffer.unwanted:
                child.tell(Disown(serial=serial, rows=self._buffer.unwanted))
        while (message := child.receive()) is not None:
            kind, content = message
            if kind is Kind.END:
                return self._trouble
            self._take(kind, content)
        return child.death()

    def _take(self, kind: Kind, content: Any) -> None:
        match kind:
            case Kind.RESULTS:
                self._lay(content)
            case Kind.VALUES:
                self._lay(self._unpickled(*content))
            case Kind.NOTES:
                self._buffer.notes.update(content)
            case Kind.ASK:
                threading.Thread(target=self._answer, args=content, name="oqkit-answer", daemon=True).start()
            case Kind.STOPPED:
                self._stopped = content
            case Kind.REFUSED | Kind.BROKEN:
                self._child.forget(self._work.handler.task)
                self._take_trouble(content)
            case Kind.END:
                raise AssertionError(f"{kind} is not about rows")
            case _:
                assert_never(kind)

    def _take_trouble(self, content: UsageError | str) -> None:
        """Take in why the work cannot be run, or the traceback of why it broke."""
        if isinstance(content, UsageError):
            self._refuse(content)
            return
        log.error("running job %s broke in its child process:\n%s", self._work.job_id, content)
        self._trouble = content.strip().rpartition("\n")[2]

    def _answer(self, number: int, lease: str, rows: Rows, request: Request) -> None:
        """Answer a call of the child in a thread of its own: results go on to come meanwhile."""
        is_late = lease != self._work.lease  # a thread that a call left behind asks when the next work has begun
        data = _pickled_error(LeaseLost(lease)) if is_late else self._answered(rows, request)
        self._child.tell(Answer(number=number, data=data))

    def _answered(self, rows: Rows, request: Request) -> bytes:
        try:
            return pickle.dumps((self._work.ask(rows, request), None))
        except Exception as error:  # noqa: BLE001 - whatever it is, the function that asked is to see it
            return _pickled_error(error)

    def _refuse(self, error: UsageError) -> None:
        with self._lock:
            if not self._is_abandoned:
                self.is_refused = True
                refuse(self._work, self._buffer, error)

    def _lay(self, results: Results) -> None:
        with self._lock:
            if self._is_abandoned:
                return
            buffer = self._buffer
            buffer.lay(replace(results, tables=()))
            for rows, data in results.tables:
                try:
                    result = _unpickle(data)
                except SchemaError as error:
                    fail(self._work, buffer, rows, error)
                else:
                    lay_table(self._work, buffer, rows, result)

    def _unpickled(self, rows: Rows, data: bytes) -> Results:
        try:
            return Results(rows=rows, values=_unpickle(data))
        except SchemaError as error:
            buffer = ResultBuffer(limit=0)
            fail(self._work, buffer, rows, error)
            return buffer.drain()


def _pickled_error(error: Exception) -> bytes:
    try:
        return pickle.dumps((None, error))
    except Exception:  # noqa: BLE001 - an error that does not pickle: what it says does
        return pickle.dumps((None, TaskError(f"{type(error).__name__}: {error}")))


def _unpickle(data: bytes) -> Any:
    try:
        return pickle.loads(data)  # noqa: S301 - from a process that this one started
    except BaseException as error:  # noqa: BLE001 - unpickling imports the user's modules and runs their code
        raise SchemaError(
            "a returned value cannot be read outside of the child process that made it "
            f"({type_name(type(error))}: {text_of(error)}); return plain values, or use executor='thread'"
        ) from None
