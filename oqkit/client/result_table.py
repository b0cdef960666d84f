"""The results of a job as one Arrow table that is never in memory as a whole: a schema, and chunks of rows in order.

A chunk is some whole parts; it holds what `job.result()` has in these rows: as it is there for polars and Arrow, and for pandas with
the metadata from which `pandas.read_parquet` makes the same dtypes and index. Results are gone through once before, and twice if
slices came with different columns or types: what all of them have together is known only at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.align import aligned, dtypes_of, named
from oqkit.arrow.metadata import Column, label_of
from oqkit.arrow.unify import unify
from oqkit.arrow.value import is_scalar, scalar_table
from oqkit.client.result import ResultReader
from oqkit.errors import UsageError

Missing = Literal["null", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """What all values have in common: a table of their schema and no rows, and the columns that hold nulls."""

    empty: pa.Table
    nulls: frozenset[str]
    is_uniform: bool
    """Whether all of them came with this very schema."""


class Chunked(Protocol):
    """A schema, and chunks of rows in order."""

    def schema(self) -> pa.Schema:
        """Return the schema of all chunks."""

    def chunks(self) -> Iterator[pa.Table]:
        """Yield the rows in order."""


class WholeTable:
    """Results that are in memory as a whole: those of groups, whose order is not that of the tasks."""

    def __init__(self, frame: Any) -> None:
        try:
            self._table = pa.Table.from_pandas(frame) if isinstance(frame, pd.DataFrame) else pa.table(frame)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(f"these results cannot be columns of Parquet: {error}. result() has them") from None

    def schema(self) -> pa.Schema:
        """Return the schema of the one chunk."""
        return self._table.schema

    def chunks(self) -> Iterator[pa.Table]:
        """Yield all rows."""
        yield self._table


class ResultTable:
    """The results as they are now; rows without one are null, or left out."""

    def __init__(self, reader: ResultReader, *, missing: Missing) -> None:
        self._reader = reader
        self._missing: Missing = missing
        self._columns = _columns(reader, missing)
        self._values = named(self._columns.empty, reader.name).schema
        self._index = _Index(reader.index(), is_whole=missing == "null") if reader.is_pandas else None

    def schema(self) -> pa.Schema:
        """Return the schema of all chunks."""
        if self._index is None:
            return self._values
        empty = self._columns.empty
        labels = [self._reader.name] if is_scalar(empty.schema) else [label_of(one) for one in empty.schema]
        found = dtypes_of(empty, self._columns.nulls)
        sample = pd.DataFrame({place: pd.Series([], dtype=dtype) for place, dtype in enumerate(found)})
        sample.columns = pd.Index(labels)
        metadata = self._index.metadata(sample)
        fields = [*self._values, *self._index.fields(metadata)]
        return pa.schema(fields, metadata={b"pandas": json.dumps(metadata).encode()})

    def chunks(self) -> Iterator[pa.Table]:
        """Yield the rows in order."""
        schema = self.schema()
        for first, stop, pieces in self._reader.chunks():
            rows = np.concatenate([np.zeros(0, "int64"), *(numbers for numbers, _ in pieces)]) - first
            if self._missing == "drop" and not len(rows):
                continue
            table = pa.concat_tables(unify([self._columns.empty, *(values for _, values in pieces)]))
            table, kept = aligned(table, rows, n_rows=stop - first, missing=self._missing)
            chosen = slice(first, stop) if kept is None else kept + first
            index = [] if self._index is None else self._index.arrays(chosen)
            yield pa.Table.from_arrays([*named(table, self._reader.name).columns, *index], schema=schema)


def _columns(reader: ResultReader, missing: Missing) -> _Columns:
    found = _gone_through(reader, missing, None)
    while not found.is_uniform:
        before, found = found, _gone_through(reader, missing, found.empty)
        if found.empty.schema.equals(before.empty.schema, check_metadata=True):
            break
    return found


def _gone_through(reader: ResultReader, missing: Missing, empty: pa.Table | None) -> _Columns:
    """Read all results, for what columns they and `empty` have together."""
    nulls, is_uniform, is_gap = set[str](), True, False
    for first, stop, pieces in reader.chunks():
        is_gap |= missing == "null" and sum(len(rows) for rows, _ in pieces) < stop - first
        for _, values in pieces:
            known = values.slice(0, 0) if empty is None else empty
            is_uniform &= bool(values.schema.equals(known.schema, check_metadata=True))
            joined, converted = unify([known, values])
            empty = joined.slice(0, 0)
            nulls |= {name for name in converted.column_names if converted.column(name).null_count}
    if empty is None:
        empty = scalar_table(Column(array=pa.nulls(0)))
    return _Columns(empty=empty, nulls=frozenset(empty.column_names if is_gap else nulls), is_uniform=is_uniform)


class _Index:
    """The index of the submitted frame, beside the results: as columns, or in the metadata if it numbers all rows."""

    def __init__(self, index: pd.Index, *, is_whole: bool) -> None:
        self._range = index if isinstance(index, pd.RangeIndex) and is_whole else None
        is_counted = isinstance(index, pd.RangeIndex) and not is_whole
        self._sample: pd.Index = pd.Index(np.zeros(0, "int64"), name=index.name) if is_counted else index[:0]
        levels = [index.get_level_values(level) for level in range(index.nlevels)] if self._range is None else []
        try:
            self._levels = [pa.array(level, from_pandas=True) for level in levels]
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(
                f"the index of the submitted frame cannot be a column of Parquet: {error}. result() has it; or submit "
                "df.reset_index()"
            ) from None

    def metadata(self, sample: pd.DataFrame) -> dict[str, Any]:
        """Return what tells `pandas` the dtypes of a frame without rows, with this index."""
        sample = sample.set_axis(self._sample)
        found = pa.Schema.from_pandas(sample, preserve_index=None if self._range is not None else True)
        metadata: dict[str, Any] = found.pandas_metadata
        if self._range is not None:
            facts = {"start": self._range.start, "stop": self._range.stop, "step": self._range.step}
            metadata["index_columns"] = [{"kind": "range", "name": self._range.name, **facts}]
        return metadata

    def fields(self, metadata: dict[str, Any]) -> list[pa.Field]:
        """Return the columns of the index, under the names that the metadata has for them."""
        names = [name for name in metadata["index_columns"] if isinstance(name, str)]
        return [pa.field(name, level.type) for name, level in zip(names, self._levels, strict=True)]

    def arrays(self, rows: slice | np.ndarray) -> list[pa.Array]:
        """Return these rows of each column."""
        if isinstance(rows, slice):
            return [level[rows] for level in self._levels]
        return [level.take(pa.array(rows)) for level in self._levels]
