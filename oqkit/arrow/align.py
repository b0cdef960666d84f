"""Value tables of many leases → one frame aligned with the input."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow import column
from oqkit.arrow.metadata import label_of, meta_of
from oqkit.arrow.table import to_polars
from oqkit.arrow.unify import unify
from oqkit.arrow.value import SCALAR, VALUE, is_scalar

Piece = tuple[np.ndarray, Any]


def align(
    pieces: Iterable[Piece],
    *,
    n_rows: int,
    index: pd.Index | None,
    backend: str,
    name: str,
    missing: Literal["null", "drop"],
) -> object:
    """Return the frame of ``(n_rows, k)`` whose row i holds the value of input row i.

    Values that are one thing make the column `name`.

    A piece is (row numbers, value table of as many rows); pieces come in any order and share no row.
    Rows without a value are null, and pandas ints and bools then become Int64 and boolean; or they are
    dropped. Types of pieces are unified: ints beside floats become floats, a field that is missing is
    null, and a column of things that do not unify holds objects (polars, Arrow: JSON text). `index`
    has `n_rows` entries, for pandas; None numbers the rows.
    """
    table, rows = _joined([piece for piece in pieces if len(piece[0])])
    table, kept = aligned(table, rows, n_rows=n_rows, missing=missing)
    if backend != "pandas":
        plain = named(table, name)
        return plain if backend == "arrow" else to_polars(plain)
    index = pd.RangeIndex(n_rows) if index is None else index
    return _to_pandas(table, index if kept is None else index[kept], name)


def _joined(pieces: list[Piece]) -> tuple[pa.Table, np.ndarray]:
    pieces.sort(key=lambda piece: int(piece[0][0]))
    if not pieces:
        return pa.table({VALUE: pa.nulls(0)}, metadata={b"oq.kind": SCALAR}), np.zeros(0, "int64")
    rows = np.concatenate([np.asarray(numbers, "int64") for numbers, _ in pieces])
    return pa.concat_tables(unify([table for _, table in pieces])), rows


def aligned(table: pa.Table, rows: np.ndarray, *, n_rows: int, missing: str) -> tuple[pa.Table, np.ndarray | None]:
    """Order the table by row number; also return which rows are left, None if all `n_rows` are."""
    if not (np.diff(rows) > 0).all():
        order = np.argsort(rows, kind="stable")
        rows, table = rows[order], table.combine_chunks().take(pa.array(order))
    if len(rows) and (rows[0] < 0 or rows[-1] >= n_rows or not (np.diff(rows) > 0).all()):
        msg = f"the pieces overlap or leave the {n_rows} rows"
        raise ValueError(msg)
    if len(rows) == n_rows:
        return table, None
    if missing == "drop":
        return table, rows
    places = np.zeros(n_rows, "int64")
    places[rows] = np.arange(len(rows))
    absent = np.ones(n_rows, "bool")
    absent[rows] = False
    if not len(rows):
        arrays = [pa.nulls(n_rows, kind) for kind in table.schema.types]
        return pa.Table.from_arrays(arrays, schema=table.schema), None
    return table.combine_chunks().take(pa.array(places, mask=absent)), None


def named(table: pa.Table, name: str) -> pa.Table:
    """Return a value table as polars and Arrow show it; values that are one thing make the column `name`."""
    names = [name] if is_scalar(table.schema) else [str(label_of(stored)) for stored in table.schema]
    columns = list(zip(names, table.columns, table.schema, strict=True))
    arrays = [column.restore(array, meta_of(stored)) for _, array, stored in columns]
    fields = [
        pa.field(new, array.type, metadata=stored.metadata)
        for array, (new, _, stored) in zip(arrays, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def dtypes_of(table: pa.Table, nulls: Collection[str]) -> list[Any]:
    """Return the pandas dtypes of the columns of a value table without rows, if these ones had nulls; of categories that of their values."""
    found: list[Any] = []
    for stored in table.schema:
        n_rows = int(stored.name in nulls)
        values = pa.Table.from_arrays([pa.nulls(n_rows, stored.type)], schema=pa.schema([stored]))
        dtype = to_series(values, 0, pd.RangeIndex(n_rows)).dtype
        found.append(dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype)
    return found


def _to_pandas(table: pa.Table, index: pd.Index, name: str) -> pd.DataFrame:
    labels = [name] if is_scalar(table.schema) else [label_of(stored) for stored in table.schema]
    arrays = {place: to_series(table, place, index) for place in range(table.num_columns)}
    df = pd.DataFrame(arrays, index=index)
    df.columns = pd.Index(labels)
    return df


def to_series(table: pa.Table, place: int, index: pd.Index) -> pd.Series:
    """Return a column of a value table as pandas has it."""
    meta = meta_of(table.schema.field(place))
    values = column.decode(table.column(place).combine_chunks(), meta)
    return pd.Series(values, index=index, dtype=object if meta.encoding in column.OBJECTS else None)
