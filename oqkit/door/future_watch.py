"""One thread for all futures of an executor: it stores their calls, those that came together as one job, and looks how jobs are.

There is such a thread only while there is something to do. What it asks in one look does not depend on how many futures there are:
it looks at a few jobs at a time, those first that it has not looked at for longest.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from oqkit.client.handle import Job
from oqkit.client.keyed import SubmissionKey
from oqkit.client.pace import Pace
from oqkit.client.queue import Queue
from oqkit.client.single import Task
from oqkit.client.spec import Function
from oqkit.client.values_spec import spec_of_values
from oqkit.client.wait import LogBar
from oqkit.door.task_future import TaskFuture
from oqkit.errors import JobFailed, OqError, Unavailable
from oqkit.task.function import Options

# ruff: noqa: SLF001 - futures are handles in another form

log = logging.getLogger(__name__)

LOOK_JOBS: Final = 16
"""How many jobs are looked at in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls of one function that are to be stored, and their futures."""

    function: Function
    arguments: Sequence[bytes]
    futures: Sequence[TaskFuture]
    options: Options
    key: SubmissionKey | None = None
    """What they are known by; None if they are new for certain."""
    content: str = ""
    """With a `key`, a digest of the arguments: pickles of equal ones may differ."""

    def joins(self, other: Calls) -> bool:
        """Whether both can be one job."""
        is_alike = (self.function.type, self.function.code) == (other.function.type, other.function.code)
        return is_alike and self.key is None and other.key is None


@dataclass(slots=True, kw_only=True)
class Watched:
    """A job, and the futures of those of its tasks that have not ended."""

    job: Job
    bar: LogBar
    futures: list[TaskFuture] = field(default_factory=list)


class FutureWatch:
    """Stores calls, and settles futures. `outcome` returns the result of a task that has ended, `error_of` what is raised for a failure."""

    def __init__(
        self, queue: Queue, *, outcome: Callable[[Task], Any], error_of: Callable[[JobFailed], BaseException]
    ) -> None:
        self._queue = queue
        self._outcome = outcome
        self._error_of = error_of
        self._news = threading.Condition()
        self._new: list[Calls] = []
        self._is_storing = False
        self._watched: dict[Job, Watched] = {}
        """By job, the one first that was not looked at for longest."""
        self._thread: threading.Thread | None = None
        self._is_away = False

    # --- for other threads -----------------------------------------------------------------------

    def add(self, calls: Calls) -> None:
        """Store calls soon, and settle their futures when they have ended."""
        with self._news:
            self._new.append(calls)
            self._wake()

    def follow(self, task: Task) -> TaskFuture:
        """Return a future of a task that is there already."""
        future = TaskFuture(self)
        with self._news:
            self._follow(task.job, [(task.row, future)])
            self._wake()
        return future

    def withdraw(self, future: TaskFuture) -> bool:
        """Forget a call that is not stored yet; False if it is, or is just being stored."""
        with self._news:
            place = next((n for n, calls in enumerate(self._new) if future in calls.futures), None)
            if place is None:
                return False
            calls = self._new[place]
            if calls.key is not None:  # what is known by a key is known as a whole
                return False
            kept = [n for n, one in enumerate(calls.futures) if one is not future]
            arguments, futures = [calls.arguments[n] for n in kept], [calls.futures[n] for n in kept]
            self._new[place : place + 1] = [replace(calls, arguments=arguments, futures=futures)] if kept else []
            return True

    def futures(self) -> list[TaskFuture]:
        """Return the futures that are not settled."""
        with self._news:
            waiting = [one for calls in self._new for one in calls.futures]
            return [*waiting, *(one for watched in self._watched.values() for one in watched.futures)]

    def flush(self) -> None:
        """Wait until all calls are stored; not in the thread that stores them."""
        with self._news:
            if self._thread is not threading.current_thread():
                self._news.wait_for(lambda: self._thread is None or not (self._new or self._is_storing))

    def cancel_pending(self) -> None:
        """Cancel what no worker has begun: an order for each job."""
        for calls in self._withdrawn():
            for future in calls.futures:
                future.settle_as_cancelled()
        self.flush()
        with self._news:
            pending = {
                watched.job: [one.task.row for one in watched.futures if one.pending()]
                for watched in self._watched.values()
            }
        for job, rows in pending.items():
            if rows:
                job.cancel(rows, reason="its executor was shut down")

    def _withdrawn(self) -> list[Calls]:
        with self._news:
            withdrawn, self._new = self._new, []
            return withdrawn

    # --- the thread ------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Have a thread that does it; the lock is held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="oqkit-futures", daemon=True)
            self._thread.start()
            atexit.register(self.flush)
        self._news.notify_all()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            with self._news:
                left = self.futures()
                self._new, self._watched, self._is_storing, self._thread = [], {}, False, None
                self._news.notify_all()
            for future in left:  # nobody would settle them
                future.fail(error)
            if threading.main_thread().is_alive():  # else the program ends, and what is stored goes on without it
                raise
        finally:
            atexit.unregister(self.flush)

    def _work(self) -> None:
        pauses = self._pauses()
        while True:
            with self._news:
                calls, self._new = self._new, []
                self._is_storing = bool(calls)
                if not calls and not self._watched:
                    self._thread = None
                    self._news.notify_all()
                    return
            self._store(calls)
            if self._look() or calls:
                pauses = self._pauses()
                continue
            with self._news:
                if not self._new:
                    self._news.wait(next(pauses))

    def _pauses(self) -> Iterator[float]:
        return Pace(self._queue.repository).pauses(None)

    def _store(self, calls: Sequence[Calls]) -> None:
        try:
            self._queue.repository.map(self._store_one, _joined(calls))
        finally:
            with self._news:
                self._is_storing = False
                self._news.notify_all()

    def _store_one(self, calls: Calls) -> None:
        queue = self._queue
        try:
            spec = spec_of_values(
                calls.arguments,
                calls.function,
                part_rows="auto",
                timer=queue.timer,
                limits=queue.repository.limits,
                payload="auto" if calls.key is None else "reference",  # then `content` says what is equal
            )
            spec = replace(spec, content=calls.content or spec.content)
            job = Job(queue, queue.submitter.submit_single(spec, calls.options, key=calls.key))
        except OqError as error:
            for future in calls.futures:
                future.fail(error)
            return
        with self._news:
            self._follow(job, list(enumerate(calls.futures)))

    def _follow(self, job: Job, futures: Sequence[tuple[int, TaskFuture]]) -> None:
        """Watch tasks of a job; the lock is held."""
        watched = self._watched.get(job)
        if watched is None:
            watched = self._watched[job] = Watched(job=job, bar=LogBar(job._view, job._workers))
        for row, future in futures:
            future.stored(Task(self._queue, watched.job, row))
            watched.futures.append(future)

    def _look(self) -> bool:
        """Ask how some jobs are, and settle the futures of what has ended; whether there were any."""
        with self._news:
            looked = list(self._watched.values())[:LOOK_JOBS]
        errors = self._queue.repository.map(self._refresh, looked)
        n_settled = sum(self._settled(one, error) for one, error in zip(looked, errors, strict=True))
        if looked and not n_settled:
            self._say_why(looked[0])
        with self._news:
            for one in looked:
                del self._watched[one.job]
                if one.futures:
                    self._watched[one.job] = one
            self._news.notify_all()
        return n_settled > 0

    def _refresh(self, watched: Watched) -> OqError | None:
        """Ask how a job is; return why nobody can know it any more. A store that is away for a while ends nothing."""
        try:
            watched.job._refresh()
            watched.job._collector.read_ahead()
        except Unavailable as error:
            if not self._is_away:
                log.warning("the queue does not answer, still waiting: %s", error)
            self._is_away = True
        except OqError as error:
            return error
        else:
            self._is_away = False
        return None

    def _settled(self, watched: Watched, error: OqError | None) -> int:
        """Settle the futures of a job whose tasks have ended, and return how many that were."""
        with self._news:
            open_futures = list(watched.futures)
        settled = {id(one) for one in open_futures if self._settle(one, error)}
        with self._news:
            watched.futures[:] = [one for one in watched.futures if id(one) not in settled]
        return len(settled)

    def _settle(self, future: TaskFuture, error: OqError | None) -> bool:
        if future.done():
            return True
        try:
            if error is not None:
                raise error
            if not _has_ended(future.task):
                return False
            future.settle(self._outcome, self._error_of)
        except Unavailable:  # it is asked again
            return False
        except OqError as unknown:
            future.fail(unknown)
        return True

    def _say_why(self, watched: Watched) -> None:
        """Log once what keeps a job from going on."""
        try:
            watched.job._workers.why(watched.job._view.state)
        except OqError:
            return  # it is asked again
        watched.bar.update()


def _has_ended(task: Task) -> bool:
    """Whether a task has ended, as far as its job's handle knows; or cannot be read, and nothing more will come of the job."""
    state = task.job._view.state
    return state.has_ended or (task._part not in state.unreadable and task._is_final())


def _joined(calls: Sequence[Calls]) -> list[Calls]:
    """Return what is to be a job each: calls that came together and are alike as one."""
    groups: list[list[Calls]] = []
    for one in calls:
        known = next((group for group in groups if group[0].joins(one)), None)
        if known is None:
            groups.append([one])
        else:
            known.append(one)
    return [
        replace(
            group[0],
            arguments=[each for one in group for each in one.arguments],
            futures=[each for one in group for each in one.futures],
        )
        for group in groups
    ]
