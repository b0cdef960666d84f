"""Inputs of `submit_frame`: the rows of a frame, uploaded with the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from oqkit.arrow.metadata import Label, label_of
from oqkit.arrow.table import Layout, index_of, to_frame
from oqkit.errors import UsageError
from oqkit.payload.guard import typed
from oqkit.payload.input_source import InputSource
from oqkit.payload.kind import Kind
from oqkit.payload.parquet import PayloadRef, files_from_json, files_to_json
from oqkit.payload.part_input import PartFrame
from oqkit.queue.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameInput:
    """Rows of a frame in Parquet files, where row group k is part k."""

    layout: Layout
    n_left_out: int = 0
    """Columns of the submitted frame that are not stored, as the function does not take them."""
    explodes: bool = False
    """Whether functions return any number of rows for each."""
    files: tuple[PayloadRef, ...] = ()

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> FrameInput:
        """Read what `to_json` returned."""
        return cls(
            layout=Layout.from_json(doc["layout"]),
            n_left_out=doc.get("left_out", 0),
            explodes=typed(doc.get("explodes", False), bool),
            files=files_from_json(doc.get("files", [])),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        left_out = {"left_out": self.n_left_out} if self.n_left_out else {}
        explodes = {"explodes": True} if self.explodes else {}
        facts = {"layout": self.layout.to_json(), **left_out, **explodes}
        return {"kind": Kind.FRAME.value, **facts, **files_to_json(self.files)}

    def with_files(self, files: Sequence[PayloadRef]) -> FrameInput:
        """Return this input with where its rows were uploaded."""
        return replace(self, files=tuple(files))

    @property
    def mode(self) -> str:
        """Return what a task is: a row, for which comes one of results, or any number."""
        return "explode" if self.explodes else "frame"

    @property
    def n_uploads(self) -> int:
        """Return how many files its submitter uploaded."""
        return len(self.files)

    @property
    def backend(self) -> str:
        """Return which kind of frame goes out: the kind that came in."""
        return self.layout.backend

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the stored columns, which a row function can name."""
        return self.layout.columns

    def part(self, source: InputSource, index: int) -> PartFrame:
        """Read the rows of a part."""
        job = source.job
        table = source.files(self.files).part(index)
        return PartFrame(table, self.layout, Rows.span(0, job.part_size(index)), index * job.part_rows)

    def index(self, source: InputSource) -> pd.Index:
        """Return the index of the submitted frame; only its columns are read, if it has any."""
        layout = self.layout
        if layout.range is not None and layout.index_names:
            return pd.RangeIndex(*layout.range, name=layout.index_names[0])
        if not layout.index:
            return pd.RangeIndex(source.job.n_tasks)
        index: pd.Index = index_of(source.files(self.files).columns(layout.index), layout)
        return index

    def joinable(self) -> FrameInput:
        """Return this input: results can be put beside the submitted frame, which is of the same kind."""
        return self

    def content(self, source: InputSource) -> str:
        """Return the digest of the submitted frame; empty for a job of oqkit 0.1."""
        return source.job.content_digest

    def labels(self, source: InputSource) -> list[Label]:
        """Return the user's names of the stored columns."""
        schema = source.files(self.files).schema()
        return [label_of(schema.field(name)) for name in self.layout.columns]

    def frame(self, source: InputSource) -> Any:
        """Return the submitted frame, read back; raise `UsageError` if columns of it were not stored."""
        if self.n_left_out:
            raise UsageError(
                f"join=True: {self.n_left_out} columns of the submitted frame are not stored, as the function does not "
                "take them, and the frame is not at hand as it was submitted; pass it: result(join=df)"
            )
        names = [*self.layout.columns, *self.layout.index]
        return to_frame(source.files(self.files).columns(names), self.layout)
