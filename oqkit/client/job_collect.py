"""The verbs of a job that give its results, its errors and the state of each task."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import pandas as pd

from oqkit.arrow import tagged_json
from oqkit.arrow.frame_kind import backend_of
from oqkit.client import join as joining
from oqkit.client.error_group import grouped_errors
from oqkit.client.job_wait import JobWaiting
from oqkit.client.selection import named
from oqkit.client.stream import AsCompleted, JobNews
from oqkit.client.wait import limit_s
from oqkit.errors import JobFailed, UsageError
from oqkit.printable import printable
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus
from oqkit.task.failure import cut

Errors = Literal["raise", "coerce", "drop"]


class JobCollecting(JobWaiting):
    """Frames of what came of the tasks, aligned with what was submitted."""

    def result(
        self, timeout: float | None = None, *, errors: Errors = "raise", join: Any = False, suffix: str = "_result"
    ) -> Any:
        """Wait, and return the results as a frame aligned with the submitted one.

        What a function returned makes the columns: a dict, dataclass, named tuple or frame its fields,
        anything else one column named after the task type. Tasks that did not complete raise
        `JobFailed` (``errors="raise"``), give nulls (``"coerce"``) or no row (``"drop"``). With ``join=True``
        the submitted columns come first; where the frame is not at hand, and columns of it are not stored as the
        function does not take them, pass it: ``join=df`` is refused unless it is the very frame that was submitted. A result that has the name
        of one of these columns gets `suffix` behind its own. What a group gave stands beside each of its rows.
        """
        check_errors(errors)
        self._wait(timeout, meanwhile=self._collector.read_ahead)
        if errors == "raise":
            self._view.state.check()
            self._raise_for_failures()
        return self._results(errors, join=join, suffix=suffix)

    def partial(self, *, errors: Errors = "drop", join: Any = False, suffix: str = "_result") -> Any:
        """Return what has completed so far, without waiting; other tasks give no row (or nulls: ``"coerce"``)."""
        check_errors(errors)
        self._refresh()
        return self._results(errors, join=join, suffix=suffix)

    def _results(self, errors: Errors, *, join: Any = False, suffix: str = "") -> Any:
        missing: Literal["null", "drop"] = "drop" if errors == "drop" else "null"
        pieces = self._collector.pieces()
        self._tell_unreadable(errors)
        if join is False:
            return self._collector.frame(pieces, missing=missing)
        submitted = self._submitted_frame(join)
        frame, rows = self._collector.by_rows(pieces, missing=missing)
        return joining.beside(submitted, frame, rows=rows, suffix=suffix)

    def _submitted_frame(self, join: Any) -> Any:
        stored, source = self._collector.inputs()
        joinable = stored.joinable()
        if (backend := backend_of(join)) is not None:
            if backend != joinable.backend:
                raise UsageError(
                    f"join=<frame>: a frame of {joinable.backend} was submitted, and this is one of {backend}"
                )
            joining.check_given(join, joinable.labels(source), joinable.content(source))
            return join
        if join is not True:
            raise UsageError(f"join={tagged_json.show(join)} must be True, False or the submitted frame")
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
        watch = self._watch()
        news = JobNews(self._view, self._collector, watch)
        return AsCompleted(self._view, news, watch, timeout=limit_s(timeout))

    def errors(self, *, grouped: bool = False) -> pd.DataFrame:
        """Return one row a failed task, by the index of the submitted frame; does not wait.

        Columns: row, task_id, type, message, line, traceback, attempt, worker. `line` is the last line of your own code in the
        traceback, such as ``score.py:12: return total / n``; a cell of a notebook is ``<cell>``. With `grouped`, one row for
        all tasks whose errors have one type and come from one line, the most frequent first, by the index of the first of
        them: `job.debug` takes that. Columns: row, type, line, tasks (how many), message (of the first).
        """
        self._refresh()
        errors = self._collector.errors()
        return grouped_errors(errors) if grouped else errors

    def tasks(self, status: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Return one row a task (of one `status`, of several, or None for all), by the index of the submitted frame.

        Columns: row, status, attempt (times claimed), worker (while running), due (UTC, while backing off), progress (0 to 1)
        and message (while running, if its function says so by `Context.progress`).
        """
        names = [status] if isinstance(status, str) else status
        chosen = None if names is None else named(names, (*Status, JobStatus.BLOCKED))
        self._refresh()
        return self._collector.tasks(chosen)


def check_errors(errors: str) -> None:
    """Raise `UsageError` for what is no way to treat tasks that did not complete."""
    if errors not in {"raise", "coerce", "drop"}:
        raise UsageError(f"errors={errors!r} must be 'raise', 'coerce' or 'drop'")
