"""The handle of a job of `map(key=)` that has not all the items of its call: the others are tasks of other jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.client.connection import Connection
from oqkit.client.handle import Job
from oqkit.client.job_collect import Errors, check_errors
from oqkit.client.wait import interruptible, limit_s
from oqkit.errors import FormatError, JobFailed, UnknownJob, UsageError
from oqkit.payload.item_places import ItemPlaces, is_part, read_places
from oqkit.queue.job import Job as JobObject


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

    def done(self) -> bool:
        """Whether every item of the call has ended, its own and those of other jobs. Asks the queue."""
        return super().done() and self._have_others_ended()

    def _has_ended(self) -> bool:
        return super()._has_ended() and self._have_others_ended()

    def _have_others_ended(self) -> bool:
        for job in self._others():
            job._refresh()  # noqa: SLF001 - of its own kind
            if not self._has_ended_in(job):
                return False
        return True

    def _others(self) -> list[Job]:
        return [job for job_id, job in self._handles.items() if job_id != self.id]

    def _has_ended_in(self, job: Job) -> bool:
        """Whether the items of the call that are tasks of another job have ended, as far as its handle knows."""
        stored = job._view.state.job  # noqa: SLF001
        rows = self._places.rows(job.id)
        if rows.last >= stored.n_tasks:
            raise FormatError(
                f"job {self.id} has an item that is row {rows.last} of job {job.id}, which has {len(job)}"
            )
        for index in range(rows.first // stored.part_rows, rows.last // stored.part_rows + 1):
            first = index * stored.part_rows
            wanted = rows.clip(first, first + stored.part_size(index)).shift(-first)
            part = job._view.state.part(index) if wanted else None  # noqa: SLF001
            if part is not None and wanted & part.rows(lambda task: not task.status.is_final):
                return False
        return True

    def _wait(
        self, timeout: float | None, *, progress: bool | None = None, meanwhile: Callable[[], None] | None = None
    ) -> None:
        clock, limit = self._repository.store.clock, limit_s(timeout)
        end = None if limit is None else clock.monotonic() + limit
        super()._wait(timeout, progress=progress, meanwhile=meanwhile)
        for job in self._others():
            left_s = None if end is None else max(0.0, end - clock.monotonic())
            with interruptible(job._view):  # noqa: SLF001
                job._watch().until(partial(self._has_ended_in, job), timeout=left_s)  # noqa: SLF001

    async def _wait_async(self) -> Self:
        await super()._wait_async()
        for job in self._others():
            await job._watch().until_async(partial(self._has_ended_in, job), limit_s=None)  # noqa: SLF001
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
            job._refresh()  # noqa: SLF001
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

    def _pieces(self, job_id: str, errors: Errors) -> list[tuple[np.ndarray, Any]]:
        """Return (positions in the call, values) of the items of the call that are tasks of a job and completed."""
        job, found = self._handles[job_id], []
        for rows, values in job._collector.pieces():  # noqa: SLF001 - of its own kind
            positions, places = self._places.positions(job_id, rows)
            if len(positions):
                found.append((positions, values.take(pa.array(places))))
        job._tell_unreadable(errors)  # noqa: SLF001
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
