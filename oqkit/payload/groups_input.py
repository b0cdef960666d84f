"""Inputs of ``submit_frame(by=)``: the groups of a frame, one a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.align import Piece
from oqkit.arrow.metadata import Label, label_from_json, label_of, label_to_json
from oqkit.arrow.stack import spread, stack
from oqkit.arrow.table import Layout, to_frame
from oqkit.errors import FormatError, UsageError
from oqkit.payload.group_key import index_of_keys
from oqkit.payload.guard import typed
from oqkit.payload.input_source import InputSource
from oqkit.payload.kind import Kind
from oqkit.payload.output import column_name
from oqkit.payload.parquet import PayloadReader, PayloadRef, files_from_json, files_to_json
from oqkit.payload.part_groups import POSITION, SIZE, PartGroups
from oqkit.queue.rows import Rows

PLACE: Final = "oq:place"
"""The column of the keys that says which group of the result it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Readers:
    keys: PayloadReader
    rows: PayloadReader


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsInput:
    """Groups in the order of their tasks: one Parquet file of keys, in which row group k is part k, and files of their rows.

    The rows of a part are one row group of those, or several if they are many: which parts have how many, `split` says.
    So what a job holds does not grow with the number of groups.
    """

    mode: ClassVar = "group"
    columns: ClassVar = None
    """A function is called with the frame of a group."""

    layout: Layout
    keys_layout: Layout
    is_multi: bool = False
    """Whether a key is a tuple."""
    by: tuple[Label, ...] = ()
    """The columns of keys that functions are not given."""
    frame_digest: str = ""
    """Of the frame that was submitted: of what functions are given, and of these columns."""
    n_rows: int = 0
    """How many rows that has."""
    split: tuple[tuple[int, int], ...] = ()
    """Parts whose rows are several row groups, and how many."""
    keys_files: tuple[PayloadRef, ...] = ()
    files: tuple[PayloadRef, ...] = ()

    @classmethod
    def from_json(cls, doc: Mapping[str, Any]) -> GroupsInput:
        """Read what `to_json` returned."""
        return cls(
            layout=Layout.from_json(doc["layout"]),
            keys_layout=Layout.from_json(doc["keys_layout"]),
            is_multi=typed(doc.get("is_multi", False), bool),
            by=tuple(label_from_json(label) for label in typed(doc.get("by", []), list)),
            frame_digest=typed(doc.get("frame_digest", ""), str),
            n_rows=typed(doc.get("n_rows", 0), int),
            split=tuple((typed(part, int), typed(n, int)) for part, n in doc.get("split", [])),
            keys_files=files_from_json(doc.get("keys", [])),
            files=files_from_json(doc.get("files", [])),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what the job object holds."""
        return {
            "kind": Kind.GROUPS.value,
            "layout": self.layout.to_json(),
            "keys_layout": self.keys_layout.to_json(),
            "frame_digest": self.frame_digest,
            "n_rows": self.n_rows,
            **({"by": [label_to_json(label) for label in self.by]} if self.by else {}),
            **({"is_multi": True} if self.is_multi else {}),
            **({"split": [list(pair) for pair in self.split]} if self.split else {}),
            **({"keys": [list(ref) for ref in self.keys_files]} if self.keys_files else {}),
            **files_to_json(self.files),
        }

    def with_files(self, files: Sequence[PayloadRef]) -> GroupsInput:
        """Return this input with where it was uploaded: the keys first, in one file."""
        return replace(self, keys_files=tuple(files[:1]), files=tuple(files[1:]))

    @property
    def n_uploads(self) -> int:
        """Return how many files its submitter uploaded."""
        return len(self.keys_files) + len(self.files)

    @property
    def backend(self) -> str:
        """Return which kind of frame goes out: the kind that came in."""
        return self.layout.backend

    # --- for workers -----------------------------------------------------------------------------

    def part(self, source: InputSource, index: int) -> PartGroups:
        """Read the groups of a part."""
        readers = self._readers(source)
        keys = readers.keys.part(index)
        table = pa.concat_tables(readers.rows.part(number) for number in self._row_groups(index))
        n_rows = int(np.sum(keys.column(SIZE).to_numpy()))
        if n_rows != table.num_rows:
            raise FormatError(
                f"the groups of part {index} of job {source.job.id} have {table.num_rows} rows, not {n_rows}"
            )
        return PartGroups(
            keys=keys,
            keys_layout=self.keys_layout,
            table=table,
            layout=self.layout,
            is_multi=self.is_multi,
            rows=Rows.span(0, keys.num_rows),
        )

    def _row_groups(self, index: int) -> range:
        first = index + sum(n - 1 for part, n in self.split if part < index)
        return range(first, first + dict(self.split).get(index, 1))

    def _readers(self, source: InputSource) -> _Readers:
        return source.once(lambda: _Readers(keys=source.reader(self.keys_files), rows=source.reader(self.files)))

    # --- for submitters --------------------------------------------------------------------------

    def index(self, source: InputSource) -> pd.Index:
        """Return the keys, in the order of the tasks."""
        return index_of_keys(self.keys(source), self.keys_layout, is_multi=self.is_multi)

    def joinable(self) -> GroupsInput:
        """Return this input: what a group gave goes with each of its rows."""
        return self

    def content(self, _: InputSource) -> str:
        """Return the digest of the submitted frame."""
        return self.frame_digest

    def labels(self, source: InputSource) -> list[Label]:
        """Return the user's names of the columns of which there is a digest."""
        schema = self._readers(source).rows.schema()
        return [*(label_of(schema.field(name)) for name in self.layout.columns), *self.by]

    def frame(self, source: InputSource) -> NoReturn:
        """Raise `UsageError`: the submitted frame is not stored in its order, nor with its keys."""
        raise UsageError(
            f"join=True: the frame of job {source.job.id} is not at hand as it was submitted; pass it: result(join=df)"
        )

    def spread(self, source: InputSource, pieces: Sequence[Piece]) -> list[Piece]:
        """Return what groups gave by the rows of the submitted frame: a value for each row of its group, rows of frames in turn.

        Raise `UsageError` if a group gave more or fewer rows than it has.
        """
        readers = self._readers(source)
        positions = readers.rows.columns([POSITION]).column(POSITION).to_numpy()
        bounds = np.concatenate([[0], np.cumsum(readers.keys.columns([SIZE]).column(SIZE).to_numpy())])
        return [spread(tasks, values, bounds=bounds, positions=positions) for tasks, values in pieces]

    def keys(self, source: InputSource) -> pa.Table:
        """Return the stored keys, in the order of the tasks."""
        layout = self.keys_layout
        return self._readers(source).keys.columns([*layout.columns, *layout.index, SIZE, PLACE])

    def stacked(self, source: InputSource, pieces: Sequence[Piece], *, missing: Literal["null", "drop"]) -> Any:
        """Return what groups gave as one frame under their keys, in the order of the result; `pieces` are by tasks."""
        job, table = source.job, self.keys(source)
        places = self.places(source)
        order = np.argsort(places)
        if self.backend == "pandas":
            keys: Any = index_of_keys(table, self.keys_layout, is_multi=self.is_multi).take(order)
        else:
            keys = to_frame(table.take(pa.array(order)), replace(self.keys_layout, backend="arrow"))
        placed = [(places[rows], values) for rows, values in pieces]
        return stack(placed, keys=keys, backend=self.backend, name=column_name(job), missing=missing)

    def places(self, source: InputSource) -> np.ndarray:
        """Return which group of the result each task is: shape ``(n_tasks,)``."""
        found: np.ndarray = self._readers(source).keys.columns([PLACE]).column(PLACE).to_numpy()
        if not np.array_equal(np.sort(found), np.arange(source.job.n_tasks)):
            raise FormatError(f"the order of the groups of job {source.job.id} is none")
        return found
