"""The handle of a job of `map(key=)` that has not all the items of its call: the others are tasks of other jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.client.connection import Connection
from oqkit.client.handle import Job
from oqkit.client.item_state import ItemState, status_of, total
from oqkit.client.job_collect import Errors, check_errors
from oqkit.client.stream import AsCompleted, FreshOutputs
from oqkit.client.wait import Waiter, interruptible, limit_s
from oqkit.errors import FormatError, JobFailed, UnknownJob, UsageError
from oqkit.payload.item_places import ItemPlaces, is_part, read_places
from oqkit.payload.output import Piece
from oqkit.queue.job import Job as JobObject

# ruff: noqa: SLF001 - handles of its own kind


def handle_of(connection: Connection, job: JobObject, **facts: Any) -> Job:
    """Return the handle of a job."""
    return (ItemsJob if is_part(job) else Job)(connection, job, **facts)


class ItemsJob(Job):
    """A job whose tasks are the new items of a call; it waits for all items of the call, and gives the results of all."""

    @cached_property
    def _places(self) -> ItemPlaces:
        return read_places(self._repository, self._view.state.job)

    @cached_property
    def _handles(self) -> dict[str, Job]:
        """The handles of all jobs that have items of the call, this one among them; a job that was deleted is left out."""
        found: dict[str, Job] = {self.id: self}
        for job_id in self._places.jobs:
            with contextlib.suppress(UnknownJob):
                found.setdefault(job_id, Job.of_id(self._connection, job_id))
        return {job_id: job for job_id, job in found.items() if len(job) or job_id == self.id}

    @property
    def status(self) -> str:
        """How all items of the call are, as `Job.status` says it; unreadable if the job of some was deleted. Asks the queue."""
        return str(status_of(self._states(), n_gone=self._n_gone))

    def counts(self) -> dict[str, int]:
        """Return how many items of the call are in each status, "blocked" or "unreadable". Asks the queue."""
        return total(self._states(), n_gone=self._n_gone)

    @property
    def _n_gone(self) -> int:
        """How many items are tasks of jobs that were deleted."""
        return len(self._places) - sum(len(self._rows(job_id)) for job_id in self._handles)

    def _rows(self, job_id: str) -> np.ndarray:
        """Return which row of a job each of the items is that are tasks of it, in the order of the call."""
        rows: np.ndarray = self._places.row[self._places.job == job_id]
        return rows

    def _states(self) -> list[ItemState]:
        jobs = list(self._handles.values())
        self._repository.map(lambda job: job._refresh(), jobs)
        for job in self._others():
            self._check_place(job)
        return [ItemState.of(job._view.state, self._rows(job.id)) for job in jobs]

    def done(self) -> bool:
        """Whether every item of the call has ended, its own and those of other jobs. Asks the queue."""
        return super().done() and self._have_others_ended()

    def _has_ended(self) -> bool:
        return super()._has_ended() and self._have_others_ended()

    def _have_others_ended(self) -> bool:
        for job in self._others():
            job._refresh()
            if not self._has_ended_in(job):
                return False
        return True

    def _others(self) -> list[Job]:
        return [job for job_id, job in self._handles.items() if job_id != self.id]

    def _has_ended_in(self, job: Job) -> bool:
        """Whether the items of the call that are tasks of another job have ended, as far as its handle knows."""
        stored = job._view.state.job
        rows = self._places.rows(job.id)
        self._check_place(job)
        for index in range(rows.first // stored.part_rows, rows.last // stored.part_rows + 1):
            first = index * stored.part_rows
            wanted = rows.clip(first, first + stored.part_size(index)).shift(-first)
            part = job._view.state.part(index) if wanted else None
            if part is not None and wanted & part.rows(lambda task: not task.status.is_final):
                return False
        return True

    def _check_place(self, job: Job) -> None:
        """Raise `FormatError` if an item is said to be a row that a job does not have."""
        row = int(self._rows(job.id).max())
        if row >= len(job):
            raise FormatError(f"job {self.id} has an item that is row {row} of job {job.id}, which has {len(job)}")

    def _wait(
        self, timeout: float | None, *, progress: bool | None = None, meanwhile: Callable[[], None] | None = None
    ) -> None:
        clock, limit = self._repository.store.clock, limit_s(timeout)
        end = None if limit is None else clock.monotonic() + limit
        super()._wait(timeout, progress=progress, meanwhile=meanwhile)
        for job in self._others():
            left_s = None if end is None else max(0.0, end - clock.monotonic())
            with interruptible(job._view):
                job._watch().until(partial(self._has_ended_in, job), timeout=left_s)

    async def _wait_async(self) -> Self:
        await super()._wait_async()
        for job in self._others():
            await job._watch().until_async(partial(self._has_ended_in, job), limit_s=None)
        return self

    def result(
        self, timeout: float | None = None, *, errors: Errors = "raise", join: Any = False, suffix: str = "_result"
    ) -> Any:
        """Wait, and return the results of all items of the call, in its order; see `Job.result`."""
        check_errors(errors)
        self._wait(timeout)
        return self._results(errors, join=join, suffix=suffix)

    def partial(self, *, errors: Errors = "drop", join: Any = False, suffix: str = "_result") -> Any:
        """Return what has completed so far of all items of the call, without waiting."""
        check_errors(errors)
        for job in self._handles.values():
            job._refresh()
        return self._results("drop" if errors == "drop" else "coerce", join=join, suffix=suffix)

    def _results(self, errors: Errors, *, join: Any = False, suffix: str = "") -> Any:  # noqa: ARG002 - as jobs of frames have it
        if join is not False:
            raise UsageError("join=True needs a job of submit_frame; this one was submitted as values")
        pieces = [piece for job_id in self._handles for piece in self._pieces(job_id, errors)]
        n_missing = len(self._places) - sum(len(positions) for positions, _ in pieces)
        if n_missing and errors == "raise":
            self._raise_for_missing(n_missing)
        missing: Literal["null", "drop"] = "drop" if errors == "drop" else "null"
        return self._collector.frame(pieces, missing=missing, n_rows=len(self._places))

    def as_completed(self, timeout: float | None = None) -> AsCompleted:
        """Iterate frames of results of all items of the call as they are committed, each item once; see `Job.as_completed`.

        What others have completed before comes at once. The index has the numbers of the items in the call.
        """
        watch = Waiter(
            self._view,
            self._reconciler,
            workers=self._workers,
            repository=self._repository,
            also=self._refresh_others,
        )
        return AsCompleted(self._view, ItemNews(self), watch, timeout=limit_s(timeout))

    def _refresh_others(self) -> None:
        """Ask the queue of the items that are tasks of other jobs and have not ended, as far as is known."""
        left = [job for job in self._others() if not self._has_ended_in(job)]
        self._repository.map(lambda job: job._refresh(), left)

    def _pieces(self, job_id: str, errors: Errors) -> list[Piece]:
        """Return (positions in the call, values) of the items of the call that are tasks of a job and completed."""
        job = self._handles[job_id]
        found = self._placed(job_id, job._collector.pieces())
        job._tell_unreadable(errors)
        return found

    def _placed(self, job_id: str, pieces: Iterable[Piece]) -> list[Piece]:
        """Return, of rows of a job, those that are items of the call, by their positions there."""
        found = []
        for rows, values in pieces:
            positions, places = self._places.positions(job_id, rows)
            if len(positions):
                found.append((positions, values.take(pa.array(places))))
        return found

    def _wait_for(self, timeout: float | None, errors: Errors) -> None:  # noqa: ARG002 - as jobs have it
        raise UsageError("the items of this call are tasks of several jobs: result() has the results of all of them")

    def _raise_for_missing(self, n_missing: int) -> None:
        failures = []
        for job_id, job in self._handles.items():
            errors = job.errors()
            failures.append(errors[errors["row"].isin(self._places.row[self._places.job == job_id])])
        gone = [job_id for job_id in self._places.jobs if job_id not in self._handles]
        told = f"; of some the job was deleted: {', '.join(gone[:3])}" if gone else ""
        raise JobFailed(
            f"{n_missing:,} of {len(self._places):,} items of job {self.id} did not complete{told}. See the failures of this "
            "error, and retry them in the jobs that they are tasks of; result(errors='coerce') or errors='drop' gives the rest",
            pd.concat(failures),
        )


class ItemNews:
    """What has come of all items of a call, and was not given yet."""

    def __init__(self, job: ItemsJob) -> None:
        self._job = job
        self._outputs = {job_id: FreshOutputs(one._view, one._collector) for job_id, one in job._handles.items()}

    def is_over(self) -> bool:
        """Whether all items have ended."""
        return self._first_open() is None

    def _first_open(self) -> Job | None:
        job = self._job
        if not job._view.state.has_ended:
            return job
        return next((one for one in job._others() if not job._has_ended_in(one)), None)

    def has_more(self) -> bool:
        """Whether a job that has items has completed tasks."""
        return any(outputs.are_there() for outputs in self._outputs.values())

    def frames(self) -> Iterator[Any]:
        """Yield frames of the items that completed, each of those of one job."""
        job = self._job
        for job_id, outputs in self._outputs.items():
            for taken in outputs.take():
                if pieces := job._placed(job_id, taken):
                    yield job._collector.frame(pieces, missing="drop", n_rows=len(job._places))

    def trouble(self) -> str:
        """Say what cannot be read, once all has ended."""
        told = (job._collector.trouble() for job in self._job._handles.values())
        return " ".join(filter(None, told)) if self.is_over() else ""

    def unfinished(self, timeout: float | None) -> str:
        """Say how far a job is that has items which have not ended."""
        return (self._first_open() or self._job)._watch().unfinished(timeout)
