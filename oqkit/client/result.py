"""From parts to frames: results, errors and the state of every task, aligned with what was submitted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.align import align
from oqkit.arrow.many import many_of
from oqkit.arrow.stack import below, rows_of
from oqkit.arrow.value import decode_values
from oqkit.client.shown_time import shown_times
from oqkit.errors import FormatError, OqError, SchemaError
from oqkit.payload.codec import ParquetCodec
from oqkit.payload.groups_input import GroupsInput
from oqkit.payload.guard import readable
from oqkit.payload.input import Input
from oqkit.payload.input_source import InputSource
from oqkit.payload.output import (
    Piece,
    StoredResults,
    column_name,
    completed_piece,
    named_outputs,
    read_output,
    rows_naming,
)
from oqkit.printable import printable
from oqkit.queue.job import Job
from oqkit.queue.key import task_id
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.task_state import TaskState
from oqkit.queue.transition import Status
from oqkit.queue.view import JobStatus, JobView
from oqkit.task.user_line import user_line

log = logging.getLogger(__name__)

BLOCKED = JobStatus.BLOCKED.value
ERROR_COLUMNS = ("row", "task_id", "type", "message", "line", "traceback", "attempt", "worker")


class ResultReader:
    """Reads what the parts of one job name; each output once, since outputs never change, unless asked not to keep it."""

    def __init__(self, repository: Repository, codec: ParquetCodec, view: JobView, *, index: Any = None) -> None:
        self._repository = repository
        self._codec = codec
        self._view = view
        self._index = index
        self._outputs: dict[tuple[int, str], StoredResults] = {}
        self._damaged: dict[tuple[int, str], str] = {}
        """Outputs that cannot be read, and why."""

    @property
    def _job(self) -> Job:
        return self._view.state.job

    @property
    def name(self) -> str:
        """Return the column of results that are one thing each."""
        return column_name(self._job)

    @property
    def explodes(self) -> bool:
        """Whether each row gave any number of rows."""
        return self._job.mode == "explode"

    @property
    def is_pandas(self) -> bool:
        """Whether results come as pandas frames, with an index."""
        return self.inputs()[0].backend == "pandas"

    def inputs(self) -> tuple[Input, InputSource]:
        """Return what the inputs of the job are, and where they are read, or raise `FormatError`."""
        return self._codec.inputs(self._job)

    def index(self) -> Any:
        """Return the pandas index of the submitted frame, read back if this process did not submit it."""
        if self._index is None:
            with readable(f"the index of job {self._job.id} is"):
                stored, source = self.inputs()
                found = stored.index(source)
            if len(found) != self._job.n_tasks:
                raise FormatError(
                    f"the index of job {self._job.id} has {len(found)} labels for {self._job.n_tasks} tasks"
                )
            self._index = found
        return self._index

    def order(self) -> np.ndarray | None:
        """Return the rows in the order in which they are shown; None if that is their own."""
        stored, source = self.inputs()
        return np.argsort(stored.places(source)) if isinstance(stored, GroupsInput) else None

    def _labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Give each row of a frame what the submitter calls it, in the order of the result; its number where that cannot be read."""
        rows = frame["row"].to_numpy("int64")
        try:
            labels, order = self.index()[rows], self.order()
        except OqError as error:
            log.warning("rows have their numbers as an index: %s", printable(error))
            return frame.set_axis(pd.Index(rows))
        frame = frame.set_axis(labels)
        return frame if order is None else frame.iloc[np.argsort(np.argsort(order)[rows], kind="stable")]

    # --- frames ----------------------------------------------------------------------------------

    def frame(self, pieces: list[Piece], *, missing: Literal["null", "drop"], n_rows: int | None = None) -> Any:
        """Return values as a frame aligned with the input, or of `n_rows` that are numbered."""
        stored, source = self.inputs()
        if isinstance(stored, GroupsInput):
            return stored.stacked(source, pieces, missing=missing)
        if self.explodes:
            return self._below(pieces)[0]
        backend = stored.backend
        return align(
            pieces,
            n_rows=self._job.n_tasks if n_rows is None else n_rows,
            index=self.index() if backend == "pandas" and n_rows is None else None,
            backend=backend,
            name=self.name,
            missing=missing,
        )

    def _below(self, pieces: list[Piece]) -> tuple[Any, np.ndarray]:
        backend = self.inputs()[0].backend
        return below(pieces, labels=self.index() if self.is_pandas else None, backend=backend, name=self.name)

    def by_rows(self, pieces: list[Piece], *, missing: Literal["null", "drop"]) -> tuple[Any, np.ndarray | None]:
        """Return values as a frame without an index, a row for each of the submitted frame, and which of those they are (None: all).

        Raise `UsageError` if groups gave other numbers of rows than they have.
        """
        (stored, source), n_rows = self.inputs(), self._job.n_tasks
        if self.explodes:
            return self._below(pieces)
        if isinstance(stored, GroupsInput):
            pieces, n_rows = stored.spread(source, pieces), stored.n_rows
        frame = align(pieces, n_rows=n_rows, index=None, backend=stored.backend, name=self.name, missing=missing)
        if missing == "null":
            return frame, None
        return frame, np.sort(np.concatenate([np.zeros(0, "int64"), *(rows for rows, _ in pieces)]))

    def pieces(self) -> list[Piece]:
        """Return (job rows, values) of all tasks that completed, output by output."""
        return self._pieces(self._completed(), keep=True)

    def chunks(self, skip: Collection[tuple[int, str]] = ()) -> Iterator[tuple[int, int, list[Piece]]]:
        """Yield the first row, the end and the pieces of some parts at a time, in order, of which none are kept; `skip` leaves outputs out."""
        job, outputs = self._job, dict[int, list[tuple[Part, str]]]()
        for part, name in self._completed(skip):
            outputs.setdefault(part.index, []).append((part, name))
        n_parts = max(1, self._repository.limits.client.chunk_rows // job.part_rows)
        for first in range(0, job.n_parts, n_parts):
            stop = min(first + n_parts, job.n_parts)
            wanted = [one for index in range(first, stop) for one in outputs.get(index, ())]
            yield first * job.part_rows, min(stop * job.part_rows, job.n_tasks), self._pieces(wanted, keep=False)

    def _pieces(self, wanted: list[tuple[Part, str]], *, keep: bool) -> list[Piece]:
        """Return what tasks returned, by output; without `keep` outputs are read again when they are wanted again."""
        return [
            completed_piece(self._job, part, name, outcomes) for part, name, outcomes in self._read(wanted, keep=keep)
        ]

    def value(self, part: Part, row: int) -> Any:
        """Return what the function returned for a row of a part that completed; raise `FormatError` if that cannot be read."""
        name = part.state_at(row).output
        for _, _, stored in self._read([(part, name)]):
            place = np.flatnonzero(stored.rows == row)
            if len(place) or self._job.mode in {"group", "explode"}:
                values = stored.values.take(pa.array(place))  # noqa: PD011 - a field, not the pandas attribute
                return rows_of(values) if self.explodes or many_of(values.schema) else decode_values(values)[0]
        task = task_id(self._job.id, part.index * self._job.part_rows + row)
        reason = self._damaged.get((part.index, name), f"it is not in the output {name!r}")
        raise FormatError(f"task {task} completed, but its result cannot be read: {reason}")

    def read_ahead(self) -> None:
        """Read a few outputs of a job that still runs, so that little is left to read when it ends."""
        with contextlib.suppress(OqError):  # then they are read at the end, which says what is wrong
            self._read(self._completed(self._outputs)[: self._repository.store.parallel])

    def _completed(self, skip: Collection[tuple[int, str]] = ()) -> list[tuple[Part, str]]:
        named = ((part, name) for part in self._view.state.touched() for name in named_outputs(part, Status.COMPLETED))
        return [(part, name) for part, name in named if (part.index, name) not in skip]

    def completed(self) -> list[tuple[int, str, object]]:
        """Return which rows of which part completed with which output, as JSON has it."""
        return [(part.index, name, rows_naming(part, name).to_json()) for part, name in self._completed()]

    def completed_outputs(self) -> set[tuple[int, str]]:
        """Return the outputs (part, name) that completed tasks name now."""
        return {(part.index, name) for part, name in self._completed()}

    def _read(self, wanted: list[tuple[Part, str]], *, keep: bool = True) -> Iterator[tuple[Part, str, StoredResults]]:
        known = self._outputs if keep else dict(self._outputs)
        missing = [(part, name) for part, name in wanted if (part.index, name) not in known]
        for (part, name), outcomes in zip(missing, self._repository.map(self._fetch, missing), strict=True):
            if outcomes is not None:
                known[part.index, name] = outcomes
        return (
            (part, name, known[part.index, name]) for part, name in wanted if (part.index, name) not in self._damaged
        )

    def _fetch(self, wanted: tuple[Part, str]) -> StoredResults | None:
        part, name = wanted
        try:
            outcomes = read_output(self._repository, self._job, part, name)
        except FormatError as error:  # costs these rows, not the others
            self._damaged[part.index, name] = str(error)
            return None
        self._damaged.pop((part.index, name), None)
        return outcomes

    def unreadable(self) -> pd.DataFrame:
        """Return one row a completed task whose result cannot be read, as far as was tried: `ERROR_COLUMNS`."""
        rows = [
            (number, task_id(self._job.id, number), "FormatError", self._damaged[part.index, name], "", "", 0, "")
            for part, name in self._completed()
            if (part.index, name) in self._damaged
            for number in (part.index * self._job.part_rows + row for row in rows_naming(part, name))
        ]
        return self._error_frame(rows)

    def trouble(self) -> str:
        """Say which results were committed and cannot be read, as far as was tried; empty if there are none."""
        rows = self.unreadable()
        if not len(rows):
            return ""
        reasons = "; ".join(list(dict.fromkeys(rows["message"]))[:3])
        name = self._job.name or self._job.id
        return f"{len(rows):,} tasks of job {name} completed, but their results cannot be read: {reasons}."

    # --- errors and tasks ------------------------------------------------------------------------

    def errors(self) -> pd.DataFrame:
        """Return one row a failed task: `ERROR_COLUMNS`, by the index of the submitted frame."""
        wanted = [(part, name) for part in self._view.state.parts() for name in named_outputs(part, Status.FAILED)]
        outputs = {(part.index, name): outcomes for part, name, outcomes in self._read(wanted)}
        rows = [
            self._error(part, task, row, outputs)
            for part in self._view.state.parts()
            for first, stop, task in part.stretches()
            if task.status is Status.FAILED
            for row in range(first, stop)
        ]
        return self._error_frame(rows)

    def errors_of(self, part: Part, row: int) -> pd.DataFrame:
        """Return the last error of one row of a part, as `errors` does, though it may be tried again; nothing if there is none."""
        task = part.state_at(row)
        wanted = [(part, task.output)] if task.output and task.status is not Status.COMPLETED else []
        outputs = {(part.index, name): outcomes for part, name, outcomes in self._read(wanted)}
        known = outputs.get((part.index, task.output))
        has_failed = task.status is Status.FAILED or (known is not None and row in known.failures)
        return self._error_frame([self._error(part, task, row, outputs)] if has_failed else [])

    def failed_with(self, part: Part, row: int) -> Rows:
        """Return the rows of the call that gave what could not be taken, as far as is known: those that failed with one text at once.

        Of a row with any other error, or with none, that row alone: a batch function that raises is called with ever fewer rows.
        """
        alone, name = Rows.span(row, row + 1), part.state_at(row).output
        for _, _, stored in self._read([(part, name)] if name else []):
            failure = stored.failures.get(row)
            if failure is not None and failure.type == SchemaError.__name__ and not failure.is_raised:
                same = (other for other, it in stored.failures.items() if it == failure)
                return Rows.of(same) & part.rows(lambda task: task.output == name)
        return alone

    def _error_frame(self, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
        frame = pd.DataFrame.from_records(rows, columns=list(ERROR_COLUMNS))
        return self._labelled(frame)

    def _error(
        self, part: Part, task: TaskState, row: int, outputs: dict[tuple[int, str], StoredResults]
    ) -> tuple[Any, ...]:
        number = part.index * self._job.part_rows + row
        identity = (number, task_id(self._job.id, number))
        known = outputs.get((part.index, task.output))
        failure = known.failures.get(row) if known else None
        damage = self._damaged.get((part.index, task.output))
        if damage is not None:
            return (*identity, "FormatError", f"it failed, but why cannot be read: {damage}", "", "", task.used, "")
        if failure is None:
            return (*identity, *_unwritten(task, self._job), "", "", task.used, "")
        line = str(user_line(failure.traceback, message=failure.message) or "")
        return (*identity, failure.type, failure.message, line, failure.traceback, failure.attempt, failure.worker)

    def _told(self, task: TaskState) -> str:
        """Return what people are told of the status of a task: one that waits for other jobs is blocked."""
        is_blocked = task.status is Status.PENDING and self._view.state.is_blocked
        return BLOCKED if is_blocked else task.status.value

    def tasks(self, statuses: Collection[str] | None = None) -> pd.DataFrame:
        """Return one row a task, by the index of the submitted frame; `statuses` None for all."""
        found = [
            (part.index * self._job.part_rows + one.first, one.n_rows, one.state)
            for part in self._view.state.parts()
            for one in part.stretches()
            if statuses is None or self._told(one.state) in statuses
        ]
        lengths = np.array([n_rows for _, n_rows, _ in found], "int64")
        rows = _ranges([first for first, _, _ in found], lengths)
        frame = pd.DataFrame({"row": rows, **self._facts([task for _, _, task in found], lengths)})
        frame = frame.assign(**self._progress(rows))
        return self._labelled(frame)

    def _progress(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of what running calls say of themselves; `rows` ascend."""
        fraction, message = np.full(len(rows), np.nan), np.full(len(rows), "", object)
        for one in self._view.state.progress():
            for first, stop in one.rows.ranges:
                place = slice(*np.searchsorted(rows, (first, stop)))
                fraction[place], message[place] = one.fraction, printable(one.message)
        return {"progress": fraction, "message": message}

    def _facts(self, tasks: list[TaskState], lengths: np.ndarray) -> dict[str, Any]:
        """Return the columns of tasks of which so many each are in one state: a state is looked at once, not once a task."""
        holders = {lease.id: lease.worker for part in self._view.state.parts() for lease in part.leases}
        return {
            "status": pd.Categorical(
                np.repeat(np.array([self._told(task) for task in tasks], object), lengths),
                categories=[status.value for status in Status] + [BLOCKED] * self._view.state.is_blocked,
            ),
            "attempt": np.repeat(np.array([task.attempt for task in tasks], "int64"), lengths),
            "worker": np.repeat(np.array([holders.get(task.lease, "") for task in tasks], object), lengths),
            "due": shown_times(task.due or None for task in tasks).repeat(lengths),
        }


def _unwritten(task: TaskState, job: Job) -> tuple[str, str]:
    """Return type and message of a failure that no function raised."""
    if not task.attempt and job.release is not None:
        return "ParentFailed", f"it was not run: {job.release.reason}"
    if task.deaths:
        times = "once" if task.deaths == 1 else f"{task.deaths} times"
        return "WorkerLost", f"its worker died {times} while it ran alone: does the task kill its process?"
    if task.lost:  # by a version that charged any loss
        times = "once" if task.lost == 1 else f"{task.lost} times in a row"
        return "WorkerLost", f"its worker stopped without a word, {times}; does the task crash the process?"
    return "Reschedule", f"it asked to be put back more often than {task.reschedules} times, as max_reschedules allows"


def _ranges(starts: list[int], lengths: np.ndarray) -> np.ndarray:
    pieces = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    return np.concatenate(pieces) if pieces else np.zeros(0, "int64")
