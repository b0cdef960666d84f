"""Inputs of `submit_dataset`: the rows of Parquet files that are somewhere already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from oqkit.arrow.metadata import Label
from oqkit.arrow.table import Frame, Layout, to_frame
from oqkit.errors import Denied, FormatError, Missing
from oqkit.payload.dataset import Dataset, DatasetReader
from oqkit.payload.input_source import InputSource
from oqkit.payload.kind import Kind
from oqkit.payload.parquet import PayloadRef
from oqkit.payload.part_input import PartFrame
from oqkit.queue.rows import Rows
from oqkit.worker.interface import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """Rows of files outside of the queue, numbered through."""

    mode: ClassVar = "frame"
    n_uploads: ClassVar = 0

    layout: Layout
    dataset: Dataset

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> DatasetInput:
        """Read what `to_json` returned."""
        return cls(layout=Layout.from_json(doc["layout"]), dataset=Dataset.from_json(doc["dataset"]))

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        return {"kind": Kind.DATASET.value, "layout": self.layout.to_json(), "dataset": self.dataset.to_json()}

    def with_files(self, files: Sequence[PayloadRef]) -> DatasetInput:  # noqa: ARG002 - as the other kinds have it
        """Return this input: nothing of it is uploaded."""
        return self

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
            frame = self._rows(source, first, first + n_rows)
        except (Denied, Missing) as error:  # of a store that may not be the queue's own
            raise InputError(str(error)) from error
        return PartFrame(frame.table, frame.layout, Rows.span(0, n_rows), first)

    def _rows(self, source: InputSource, first: int, stop: int) -> Frame:
        job, n_rows = source.job, self.dataset.n_rows
        if n_rows != job.n_tasks:
            raise FormatError(f"job {job.id} has {job.n_tasks:,} tasks, but its files have {n_rows:,} rows")
        limits = source.repository.limits.payload
        reader = source.once(lambda: DatasetReader(self.dataset, source.access, limits=limits, cache=source.cache))
        return reader.frame(first, stop)

    def index(self, source: InputSource) -> pd.Index:
        """Return the index of the results: rows are numbered over all files."""
        return pd.RangeIndex(source.job.n_tasks)

    def joinable(self) -> DatasetInput:
        """Return this input: it always comes as a pandas frame."""
        return self

    def labels(self, _: InputSource) -> list[Label]:
        """Return the user's names of the columns that are read."""
        return list(self.layout.columns)

    def frame(self, source: InputSource) -> pd.DataFrame:
        """Return the columns that are read, of all rows."""
        found = self._rows(source, 0, source.job.n_tasks)
        frame: pd.DataFrame = to_frame(found.table, found.layout)
        return frame
