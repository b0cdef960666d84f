"""Inputs of `submit_dataset`: the rows of Parquet files that are somewhere already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.metadata import Label
from oqkit.arrow.table import Layout, to_frame
from oqkit.errors import Denied, FormatError, Missing
from oqkit.payload.dataset import Dataset
from oqkit.payload.dataset_reader import DatasetReader
from oqkit.payload.input_source import InputSource
from oqkit.payload.kind import Kind
from oqkit.payload.parquet import PayloadReader, PayloadRef, files_from_json, files_to_json
from oqkit.payload.part_input import PartFrame
from oqkit.payload.row_filter import ROW
from oqkit.queue.rows import Rows
from oqkit.worker.interface import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """Rows of files outside of the queue, numbered through: all, or those whose numbers are in `files`."""

    mode: ClassVar = "frame"

    layout: Layout
    dataset: Dataset
    files: tuple[PayloadRef, ...] = ()
    """Of the queue: row group k has the numbers of the rows of part k, in ascending order."""

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> DatasetInput:
        """Read what `to_json` returned."""
        return cls(
            layout=Layout.from_json(doc["layout"]),
            dataset=Dataset.from_json(doc["dataset"]),
            files=files_from_json(doc.get("files", [])),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        return {
            "kind": Kind.DATASET.value,
            "layout": self.layout.to_json(),
            "dataset": self.dataset.to_json(),
            **files_to_json(self.files),
        }

    def with_files(self, files: Sequence[PayloadRef]) -> DatasetInput:
        """Return this input with where the numbers of its rows were uploaded, if not all are meant."""
        return replace(self, files=tuple(files))

    @property
    def n_uploads(self) -> int:
        """Return how many files its submitter uploaded."""
        return len(self.files)

    @property
    def backend(self) -> str:
        """Return which kind of frame goes out."""
        return self.layout.backend

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that a row function can name."""
        return self.layout.columns

    def part(self, source: InputSource, index: int) -> PartFrame:
        """Read the rows of a part; raise `InputError` if the files are denied or gone."""
        first, n_rows = index * source.job.part_rows, source.job.part_size(index)
        try:
            reader, picked = self._readers(source)
            rows = range(first, first + n_rows) if picked is None else _numbers(picked.part(index))
            frame = reader.frame(rows, n_rows=source.job.n_tasks)
        except (Denied, Missing) as error:  # of a store that may not be the queue's own
            raise InputError(str(error)) from error
        return PartFrame(frame.table, frame.layout, Rows.span(0, n_rows), first)

    def _readers(self, source: InputSource) -> tuple[DatasetReader, PayloadReader | None]:
        """Return what reads the rows, and what reads their numbers; None if all are meant."""
        job, n_rows = source.job, self.dataset.n_rows
        if not self.files and n_rows != job.n_tasks:
            raise FormatError(f"job {job.id} has {job.n_tasks:,} tasks, but its files have {n_rows:,} rows")
        limits = source.repository.limits.payload
        return source.once(
            lambda: (
                DatasetReader(self.dataset, source.access, limits=limits, cache=source.cache),
                source.reader(self.files) if self.files else None,
            )
        )

    def index(self, source: InputSource) -> pd.Index:
        """Return the index of the results: rows are numbered over all files, or over what passed the filter."""
        return pd.RangeIndex(source.job.n_tasks)

    def joinable(self) -> DatasetInput:
        """Return this input: it always comes as a pandas frame."""
        return self

    def content(self, source: InputSource) -> str:
        """Return the digest of the submitted frame; empty for a job of oqkit 0.1."""
        return source.job.content_digest

    def labels(self, _: InputSource) -> list[Label]:
        """Return the user's names of the columns that are read."""
        return list(self.layout.columns)

    def frame(self, source: InputSource) -> pd.DataFrame:
        """Return the columns that are read, of all rows."""
        reader, picked = self._readers(source)
        rows = range(source.job.n_tasks) if picked is None else _numbers(picked.columns([ROW]))
        found = reader.frame(rows, n_rows=source.job.n_tasks)
        frame: pd.DataFrame = to_frame(found.table, found.layout)
        return frame


def _numbers(table: pa.Table) -> np.ndarray:
    """Return the row numbers in an uploaded file, or raise `FormatError` if they do not ascend."""
    numbers: np.ndarray = table.column(ROW).to_numpy().astype("int64")
    if not (np.diff(numbers) > 0).all():
        raise FormatError("the numbers of the rows that are meant do not ascend")
    return numbers
