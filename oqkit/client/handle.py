"""The handle of a job: a view; the queue is the truth."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from oqkit.arrow import tagged_json
from oqkit.client import join as joining
from oqkit.client.diagnosis import WorkerWatch
from oqkit.client.duplicate import derived_name, is_derived
from oqkit.client.join import Submitted
from oqkit.client.result import ResultReader
from oqkit.client.selection import named, select
from oqkit.client.spec import Function, function_of
from oqkit.client.stream import AsCompleted
from oqkit.client.wait import Bar, Waiter, interruptible, limit_s
from oqkit.errors import JobFailed, UsageError
from oqkit.observe.event import JobOrdered
from oqkit.observe.observer import Observers
from oqkit.payload.codec import ParquetCodec
from oqkit.printable import printable
from oqkit.queue import control
from oqkit.queue.job import ControlVerb
from oqkit.queue.job import Job as JobObject
from oqkit.queue.reconcile import Reconciler
from oqkit.queue.repository import Repository
from oqkit.queue.submission import point_to
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus, JobView
from oqkit.task.code import put_code
from oqkit.task.failure import cut
from oqkit.task.function import seconds
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer

Errors = Literal["raise", "coerce", "drop"]


class Job:
    """One submission. Get one from `submit_frame`, `map` or `oq.job(name)`; it can be made again any time."""

    def __init__(
        self,
        repository: Repository,
        job: JobObject,
        *,
        index: object = None,
        source: Submitted | None = None,
        codec: ParquetCodec | None = None,
        timer: RowTimer | None = None,
        observers: Observers | None = None,
    ) -> None:
        self._repository = repository
        self._view = JobView(repository, job)
        self._workers = WorkerWatch(repository)
        self._reconciler = Reconciler(repository)
        self._source = source
        self._timer = timer or RowTimer(repository.limits.task)
        self._observers = observers or Observers()
        self._collector = ResultReader(repository, codec or ParquetCodec(repository), self._view, index=index)

    # --- what it is ------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's id in its queue."""
        return self._view.state.job.id

    @property
    def name(self) -> str:
        """The name it was given, or got from its function and content; empty for a single task."""
        return self._view.state.job.name

    @property
    def type(self) -> str:
        """The task type."""
        return self._view.state.job.type

    def __len__(self) -> int:
        return self._view.state.job.n_tasks

    def __repr__(self) -> str:
        told = ", ".join(f"{n:,} {status}" for status, n in self._known_counts().items() if n)
        why = f"; {said}" if (said := self._workers.said(self._view.state)) else ""
        return f"<oqkit job {self.name or self.id!r}: {len(self):,} {self.type!r} tasks, {told or 'none'}{why}>"

    # --- watching --------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """One of `oqkit.client.queue.JOB_STATUSES`: unreadable if the state of some tasks is. Asks the queue."""
        self._refresh()
        return str(self._view.state.status)

    def counts(self) -> dict[str, int]:
        """Return how many tasks are in each status, or "unreadable"; sums to ``len(job)``. Asks the queue."""
        self._refresh()
        return self._known_counts()

    def _refresh(self) -> None:
        """Ask the queue what changed, and do what the job needs so that it is not stuck."""
        self._view.refresh()
        if self._reconciler.look(self._view.state):
            self._view.refresh()

    def _known_counts(self) -> dict[str, int]:
        state = self._view.state
        known = {status.value: n for status, n in state.counts().items()}
        return {**known, JobStatus.UNREADABLE.value: state.n_unreadable} if state.n_unreadable else known

    def done(self) -> bool:
        """Whether every task has ended. Asks the queue."""
        self._refresh()
        return self._view.state.is_final

    def why(self) -> str:
        """Return why nothing happens to the job, and what to do about it; empty while tasks run. Asks the queue.

        What workers say that are there and leave it alone comes first: that they run another Python, may not load the
        function, have another version of it, cannot read the inputs.
        """
        state = self._view.refresh()
        return self._workers.why(state) or self._workers.why(state, patience_s=0.0, has_refused=True)

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> Job:
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

    def __await__(self) -> Generator[Any, None, Job]:
        """Wait without blocking the kernel: widgets and other cells' coroutines go on."""
        return self._wait_async().__await__()

    async def _wait_async(self) -> Job:
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
        self._timer.learn(self._view.state.job, n_rows=n_rows, elapsed_s=elapsed_s)

    def _watch(self) -> Waiter:
        return Waiter(self._view, self._reconciler, workers=self._workers, repository=self._repository)

    # --- results ---------------------------------------------------------------------------------

    def result(
        self, timeout: float | None = None, *, errors: Errors = "raise", join: bool | pd.DataFrame = False
    ) -> Any:
        """Wait, and return the results as a frame aligned with the submitted one.

        What a function returned makes the columns: a dict, dataclass, named tuple or frame its fields,
        anything else one column named after the task type. Tasks that did not complete raise
        `JobFailed` (``errors="raise"``), give nulls (``"coerce"``) or no row (``"drop"``). With ``join=True``
        the submitted columns come first; where the frame is not at hand, and columns of it are not stored as the
        function does not take them, pass it: ``join=df`` is refused unless it is the very frame that was submitted.
        """
        _check_errors(errors)
        self._wait(timeout, meanwhile=self._collector.read_ahead)
        if errors == "raise":
            self._view.state.check()
            self._raise_for_failures()
        return self._results(errors, join=join)

    def partial(self, *, errors: Errors = "drop", join: bool | pd.DataFrame = False) -> Any:
        """Return what has completed so far, without waiting; other tasks give no row (or nulls: ``"coerce"``)."""
        _check_errors(errors)
        self._refresh()
        return self._results(errors, join=join)

    def _results(self, errors: Errors, *, join: bool | pd.DataFrame) -> Any:
        missing: Literal["null", "drop"] = "drop" if errors == "drop" else "null"
        pieces = self._collector.pieces()
        self._tell_unreadable(errors)
        frame = self._collector.frame(pieces, missing=missing)
        return frame if join is False else self._joined(frame, missing, join)

    def _joined(self, frame: Any, missing: str, join: bool | pd.DataFrame) -> Any:  # noqa: FBT001 - as in `result`
        source = self._submitted_frame(join)
        if missing == "drop":
            rows = np.sort(np.concatenate([rows for rows, _ in self._collector.pieces()] or [np.zeros(0, "int64")]))
            source = source.iloc[rows]
        twice = [name for name in frame.columns if name in source.columns]
        results = frame.rename(columns={name: f"{name}_result" for name in twice})
        # By position: labels may occur several times.
        return pd.concat([source.reset_index(drop=True), results.reset_index(drop=True)], axis=1).set_axis(source.index)

    def _submitted_frame(self, join: bool | pd.DataFrame) -> Any:  # noqa: FBT001 - as in `result`
        stored, source = self._collector.inputs()
        joinable = stored.joinable()
        if isinstance(join, pd.DataFrame):
            joining.check_given(join, joinable.labels(source), self._view.state.job.content_digest)
            return join
        if join is not True:
            raise UsageError(f"join={tagged_json.show(join)} must be True, False or the submitted pandas frame")
        if self._source is not None and self._source.is_intact():
            return self._source.frame
        return joinable.frame(source)

    def _tell_unreadable(self, errors: Errors) -> None:
        """Raise `JobFailed`, or warn, if results that were committed cannot be read."""
        rows = self._collector.unreadable()
        if not len(rows):
            return
        reasons = "; ".join(dict.fromkeys(rows["message"].iloc[:3]))
        told = (
            f"{len(rows):,} tasks of job {self.name or self.id} completed, but their results cannot be read: {reasons}."
        )
        if errors == "raise":
            raise JobFailed(
                f"{told} result(errors='coerce') or errors='drop' gives the others; submitting with on_duplicate='rerun' "
                "runs the job again",
                rows,
            )
        warnings.warn(told, stacklevel=4)

    def _raise_for_failures(self) -> None:
        counts = self._view.state.counts()
        bad = len(self) - counts[Status.COMPLETED]
        if not bad:
            return
        failures = self._collector.errors()
        groups = Counter(zip(failures["type"], failures["message"], strict=True))
        told = [
            f"{n:,} x {printable(kind)}: {printable(' '.join(cut(message, 120).split()))}"
            for (kind, message), n in groups.most_common(3)
        ]
        told += [f"{counts[status]:,} {status}" for status in (Status.CANCELLED, Status.EXPIRED) if counts[status]]
        raise JobFailed(
            f"{bad:,} of {len(self):,} tasks of job {printable(self.name) or self.id} did not complete ({'; '.join(told)}). "
            "See job.errors(); job.retry('all') runs them again, job.retry(fn=...) failed ones with a corrected function; "
            "result(errors='coerce') or errors='drop' gives the rest",
            failures,
        )

    def as_completed(self, timeout: float | None = None) -> AsCompleted:
        """Iterate frames of results as they are committed, each row once; also ``async for``.

        Raise `WaitTimeout` if the job has not ended after `timeout` seconds.
        """
        return AsCompleted(self._view, self._collector, self._watch(), timeout=limit_s(timeout))

    def errors(self) -> pd.DataFrame:
        """Return one row a failed task, by the index of the submitted frame; does not wait.

        Columns: row, task_id, type, message, traceback, attempt, worker.
        """
        self._refresh()
        return self._collector.errors()

    def tasks(self, status: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Return one row a task (of one `status`, of several, or None for all), by the index of the submitted frame.

        Columns: row, status, attempt (times claimed), worker (while running), due (UTC, while backing off).
        """
        chosen = None if status is None else named([status] if isinstance(status, str) else status, tuple(Status))
        self._refresh()
        return self._collector.tasks(chosen)

    # --- steering --------------------------------------------------------------------------------

    def cancel(self, where: object = "all", *, reason: str | None = None) -> int:
        """Cancel tasks that have not ended, and return how many that were.

        `where`: ``"all"``, ``"pending"``, ``"running"``, a boolean mask over the rows, or row numbers.
        A running call goes on to its end, but its result is not used.
        """
        before = self.counts()[Status.CANCELLED]
        statuses, rows = select(where, control.CANCELLABLE, n_tasks=len(self))
        self._view.adopt(control.cancel(self._repository, self.id, statuses=statuses, rows=rows, reason=reason or ""))
        n_tasks = self.counts()[Status.CANCELLED] - before
        self._tell(ControlVerb.CANCEL, n_tasks=n_tasks, reason=reason)
        return n_tasks

    def retry(self, where: object = "failed", *, fn: Callable[..., object] | None = None) -> int:
        """Run tasks that did not complete again, and return how many those are.

        `where`: ``"failed"``, ``"cancelled"``, ``"expired"``, ``"all"`` of these, a boolean mask over the
        rows, or row numbers. `fn` is a corrected function, used for everything that has not run yet: from
        then on the job counts as one of `fn`, and the same submission with `fn` attaches to it.
        """
        statuses, rows = select(where, control.RETRYABLE, n_tasks=len(self))
        function = self._new_function(fn) if fn is not None else None
        code = None if function is None else function.code
        chosen = self.tasks([status.value for status in statuses])["row"].to_numpy()
        if rows is not None:
            wanted = np.zeros(len(self), "bool")
            for first, stop in rows.ranges:
                wanted[first:stop] = True
            chosen = chosen[wanted[chosen]]
        if len(chosen) or code is not None:
            self._view.adopt(control.retry(self._repository, self.id, statuses=statuses, rows=rows, code=code))
            self._tell(ControlVerb.RETRY, n_tasks=len(chosen))
        if function is not None:
            self._answer_for(function)
        return len(chosen)

    def _answer_for(self, function: Function) -> None:
        """Let the same submission with a corrected function attach to this job, if it attached by what it does."""
        job = self._view.state.job
        if is_derived(job) and function.code.fingerprint:
            point_to(self._repository, job, name=derived_name(replace(job, type=function.type, code=function.code)))

    def pause(self, *, reason: str | None = None, resume_after: float | str | None = None) -> None:
        """Let workers start no more of the tasks until `resume`, or for `resume_after` (seconds, or such as ``"10m"``).

        Workers learn of it within a second or two. Rows that they have claimed by then, about ten seconds of work, are
        still run. Raise `UsageError` if the job has ended.
        """
        self._view.reload()
        if self.done():
            raise UsageError(
                f"job {self.name or self.id!r} has ended ({self._view.state.status}): there is nothing to pause"
            )
        until = None if resume_after is None else self._repository.now() + seconds(resume_after, what="resume_after")
        self._view.adopt(control.pause(self._repository, self.id, reason=reason or "", until=until))
        self._tell(ControlVerb.PAUSE, reason=reason)

    def resume(self) -> None:
        """End a pause, and tell the workers of the job once more.

        That helps as well when whoever resumed it before died half-way, or when somebody deleted its marker.
        """
        self._view.adopt(control.resume(self._repository, self.id))
        self._tell(ControlVerb.RESUME)

    def _tell(self, verb: ControlVerb, *, n_tasks: int = 0, reason: str | None = None) -> None:
        job, now = self._view.state.job, self._repository.now
        self._observers.tell(
            JobOrdered, lambda: JobOrdered(at=now(), job=job, verb=verb, n_tasks=n_tasks, reason=reason or "")
        )

    def _new_function(self, fn: Callable[..., object]) -> Function:
        function = function_of(fn, limits=self._repository.limits.task)
        if function.task is not None and not function.task.batch:
            columns = self._collector.inputs()[0].columns
            if columns is not None:
                Handler(function.task).for_rows(columns)  # raises if it cannot take them
        if function.data is not None:
            put_code(self._repository, function.code, function.data)
        return function


def _check_errors(errors: str) -> None:
    if errors not in {"raise", "coerce", "drop"}:
        raise UsageError(f"errors={errors!r} must be 'raise', 'coerce' or 'drop'")
