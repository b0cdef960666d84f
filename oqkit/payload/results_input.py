"""Inputs of `gather`: one task, which is called with the results of other jobs and tasks, read when it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import pandas as pd

from oqkit.arrow.align import align
from oqkit.arrow.stack import below
from oqkit.arrow.value import decode_values
from oqkit.errors import FormatError, Missing, UsageError
from oqkit.payload.groups_input import GroupsInput
from oqkit.payload.guard import typed
from oqkit.payload.input_source import InputSource
from oqkit.payload.item_places import is_part, read_places
from oqkit.payload.kind import Kind
from oqkit.payload.output import Piece, column_name, completed_piece, named_outputs, read_output
from oqkit.payload.parquet import PayloadRef
from oqkit.payload.part_input import PartValues
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A job whose results are wanted, or one task of it."""

    job: str
    origin: str
    """That of the job when it was looked up: the results of another one in its place are not taken for its own."""
    row: int | None
    """None: all tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsInput:
    """The results of others, as one list."""

    mode: ClassVar = "value"
    backend: ClassVar = "pandas"
    columns: ClassVar = None
    n_uploads: ClassVar = 0

    gathered: tuple[Gathered, ...]

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> ResultsInput:
        """Read what `to_json` returned."""
        return cls(gathered=tuple(_gathered(*one) for one in typed(doc["gathered"], list)))

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        return {"kind": Kind.RESULTS.value, "gathered": [[one.job, one.origin, one.row] for one in self.gathered]}

    def with_files(self, files: Sequence[PayloadRef]) -> ResultsInput:  # noqa: ARG002 - every kind is given them
        """Return this input, which has no files."""
        return self

    def part(self, source: InputSource, index: int) -> PartValues:  # noqa: ARG002 - there is one
        """Read the results: of a task its value, of a job of values a list, of a job of rows a frame; None where there is none."""
        return PartValues((source.repository.map(lambda one: _result(source, one), self.gathered),))

    def index(self, source: InputSource) -> pd.Index:
        """Return the index of the results."""
        return pd.RangeIndex(source.job.n_tasks)

    def joinable(self) -> NoReturn:
        """Raise `UsageError`: there is no frame to put the results beside."""
        raise UsageError("join=True needs a job of submit_frame; this one gathers the results of others")


def _gathered(job: object, origin: object, row: object) -> Gathered:
    if not keys.is_job_id(typed(job, str)):
        raise ValueError(f"{job!r:.80} is the id of no job")
    if row is not None and typed(row, int) < 0:
        raise ValueError(f"{row!r:.80} is the number of no task")
    return Gathered(job=typed(job, str), origin=typed(origin, str), row=None if row is None else typed(row, int))


def _result(source: InputSource, wanted: Gathered) -> Any:
    repository = source.repository
    job = _read(repository, wanted.job)
    if job.origin != wanted.origin:
        raise _gone(wanted.job)
    if wanted.row is not None and wanted.row >= job.n_tasks:
        raise FormatError(f"task {wanted.row} is wanted of job {job.id}, which has {job.n_tasks:,}")
    if wanted.row is not None:
        return _values(repository, job, Rows.span(wanted.row, wanted.row + 1)).get(wanted.row)
    if is_part(job):
        places = read_places(repository, job)
        known = {job_id: _values(repository, _read(repository, job_id), places.rows(job_id)) for job_id in places.jobs}
        return [known[job_id].get(int(row)) for job_id, row in zip(places.job, places.row, strict=True)]
    if job.mode == "value":
        found = _values(repository, job, Rows.span(0, job.n_tasks))
        return [found.get(number) for number in range(job.n_tasks)]
    pieces = _pieces(repository, job, range(job.n_parts))
    if job.mode == "group":
        return GroupsInput.from_json(job.input).stacked(source.of(job), pieces, missing="null")
    if job.mode == "explode":
        return below(pieces, labels=pd.RangeIndex(job.n_tasks), backend="pandas", name=column_name(job))[0]
    return align(pieces, n_rows=job.n_tasks, index=None, backend="pandas", name=column_name(job), missing="null")


def _read(repository: Repository, job_id: str) -> Job:
    try:
        return repository.read_job(job_id).doc
    except Missing:
        raise _gone(job_id) from None


def _gone(job_id: str) -> FormatError:
    return FormatError(f"job {job_id}, whose results are wanted, was deleted")


def _values(repository: Repository, job: Job, rows: Rows) -> dict[int, Any]:
    """Return the results that there are in the parts of some rows of a job of values, by row."""
    indexes = range(rows.first // job.part_rows, min(rows.last // job.part_rows + 1, job.n_parts)) if rows else ()
    wanted = [index for index in indexes if rows & Rows.span(index * job.part_rows, (index + 1) * job.part_rows)]
    pieces = _pieces(repository, job, wanted)
    return {int(number): value for numbers, table in pieces for number, value in _decoded(numbers, table)}


def _decoded(numbers: Any, table: Any) -> Any:
    return zip(numbers, decode_values(table), strict=True)


def _pieces(repository: Repository, job: Job, indexes: Sequence[int]) -> list[Piece]:
    def read(index: int) -> list[Piece]:
        part = repository.read_part(job, index).doc
        names = named_outputs(part, Status.COMPLETED)
        return [completed_piece(job, part, name, read_output(repository, job, part, name)) for name in names]

    return [piece for pieces in repository.map(read, indexes) for piece in pieces]
