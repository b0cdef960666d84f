"""The user's frame ↔ one Arrow table that Parquet can hold, and back: dtypes, index and column names included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, TypeGuard

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow import column, inference, storable
from oqkit.arrow.digest import hash_table
from oqkit.arrow.frame_kind import opened
from oqkit.arrow.metadata import (
    RESERVED,
    Column,
    Label,
    Unstorable,
    field,
    label_from_json,
    label_of,
    label_to_json,
    meta_of,
    table_of,
)
from oqkit.arrow.tagged_json import show
from oqkit.errors import FormatError, SchemaError

#: Polars types that Arrow, and so Parquet, cannot hold.
_ROWS: Final = f"{RESERVED}rows"
_POLARS_ONLY: Final = ("Object", "Int128", "UInt128")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How to give the user's frame back from stored columns; small, whatever the frame's size.

    `backend` is ``pandas``, ``polars`` or ``arrow``; `columns` and `index` are stored column names.
    The rest is for pandas: a `range` (start, stop, step) is an index without a stored column, `freq`
    that of a DatetimeIndex, `axis_names` and `axis_dtype` belong to ``df.columns``. The dtype is ``range`` for
    a RangeIndex, None for a MultiIndex.
    """

    backend: str
    columns: tuple[str, ...]
    index: tuple[str, ...] = ()
    index_names: tuple[Label, ...] = ()
    is_multi: bool = False
    range: tuple[int, int, int] | None = None
    freq: str | None = None
    axis_names: tuple[Label, ...] = ()
    axis_dtype: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return a JSON-able dict of the fields that say something."""
        facts: dict[str, Any] = {name: value for name, value in asdict(self).items() if value not in (None, (), False)}
        return {name: label_to_json(value) if isinstance(value, tuple) else value for name, value in facts.items()}

    @classmethod
    def from_json(cls, doc: dict[str, object]) -> Layout:
        """Read what `to_json` returned; fields of a newer oqkit are refused with `FormatError`."""
        unknown = doc.keys() - {known.name for known in fields(cls)}
        if unknown or "backend" not in doc or doc["backend"] not in {"pandas", "polars", "arrow"}:
            msg = f"the layout {doc!r} is not readable here; it may come from a newer oqkit"
            raise FormatError(msg)
        return cls(**{"columns": (), **{name: label_from_json(value) for name, value in doc.items()}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A user's frame as it is stored. Each field of `table` carries its dtype sidecar (see `meta`)."""

    table: Any
    layout: Layout


def to_table(df: object, *, columns: Sequence[Label] | None = None, problems: dict[int, str] | None = None) -> Frame:
    """Turn a frame of ``(n, k)`` into a table of n rows: the `columns` in their order (None: all), then index levels.

    Takes pandas, polars, a pyarrow table, and anything else with ``__arrow_c_stream__``. Raise
    `SchemaError`, before anything is written, for what could not come back equal. With `problems`, Python objects
    that could not are noted there, by row, and stored as null.
    """
    df = opened(df)
    if isinstance(df, pd.DataFrame):
        return _from_pandas(df, columns, problems)
    if isinstance(df, pa.Table):
        return _from_arrow(df if columns is None else df.select(_places(df.column_names, columns)), backend="arrow")
    return _from_arrow(_polars_table(df, columns), backend="polars")


def chosen(labels: Sequence[Label], wanted: Sequence[Label]) -> list[Label]:
    """Return the wanted ones of these columns, or raise `SchemaError` that lists what exists."""
    return [labels[place] for place in _places(list(labels), wanted)]


def selected(frame: Frame, n_columns: int) -> Frame:
    """Return a stored frame with its first columns alone, and its index."""
    layout = replace(frame.layout, columns=frame.layout.columns[:n_columns])
    left_out = frame.layout.columns[n_columns:]
    table = frame.table.drop_columns(list(left_out)) if left_out else frame.table
    return Frame(table=table if table.num_columns else _rows_only(frame.table.num_rows), layout=layout)


def to_frame(table: pa.Table, layout: Layout, *, rows: int | np.ndarray = 0) -> Any:
    """Turn rows of a stored table back into the same rows of the user's frame, as ``df.iloc[a:b]`` shows them.

    `rows` tells which rows of the whole frame they are, for an index that is not stored: the number of
    the first of contiguous rows, or an array with the number of each. The frame may be written to.
    """
    if layout.backend != "pandas":
        return _to_arrow(table, layout)
    index = index_of(table, layout, rows=rows)
    stored = [table.schema.field(name) for name in layout.columns]
    arrays = {
        position: pd.Series(column.decode(_whole(table, it.name), meta_of(it)), index=index, dtype=_dtype(it))
        for position, it in enumerate(stored)
    }
    df = pd.DataFrame(arrays, index=index)
    df.columns = _axis([label_of(it) for it in stored], layout)
    return df


def to_lists(table: pa.Table, layout: Layout, *, columns: Sequence[Label] | None = None) -> dict[Label, list[object]]:
    """Return columns (None: all) as lists of what ``df.itertuples()`` shows, by the user's names: for row functions."""
    stored = {label_of(it): it for it in (table.schema.field(name) for name in layout.columns)}
    labels = list(stored) if columns is None else [list(stored)[place] for place in _places(list(stored), columns)]
    read = column.to_list if layout.backend == "pandas" else _to_python
    return {label: read(_whole(table, stored[label].name), meta_of(stored[label])) for label in labels}


def index_of(table: pa.Table, layout: Layout, *, rows: int | np.ndarray = 0) -> pd.Index:
    """Rebuild the pandas index of rows of a stored table; `rows` as in `to_frame`. Only index columns are read."""
    if layout.range is not None:
        whole = pd.RangeIndex(*layout.range, name=layout.index_names[0])
        return whole[rows] if isinstance(rows, np.ndarray) else whole[rows : rows + table.num_rows]
    if not layout.index:
        start = 0 if isinstance(rows, np.ndarray) else rows
        return pd.RangeIndex(start, start + table.num_rows)
    levels: list[pd.Index] = [
        column.to_index(_whole(table, stored), meta_of(table.schema.field(stored)), name=name)
        for stored, name in zip(layout.index, layout.index_names, strict=True)
    ]
    if layout.is_multi:
        return pd.MultiIndex.from_arrays(levels, names=list(layout.index_names))
    return _with_freq(levels[0], layout.freq) if layout.freq and not isinstance(rows, np.ndarray) else levels[0]


def fingerprint(frame: Frame) -> str:
    """Return a hex digest of a frame's values, types, names and index; equal in any process and for any chunking."""
    return hash_table(frame.table, seed=frame.layout.to_json())


# --- pandas --------------------------------------------------------------------------------------


def _from_pandas(df: pd.DataFrame, columns: Sequence[Label] | None, problems: dict[int, str] | None) -> Frame:
    labels = list(df.columns)
    places = range(len(labels)) if columns is None else _places(labels, columns)
    labels = [labels[place] for place in places]
    _refuse_duplicates(labels)
    names = _stored_names(labels)
    stored = []
    for place, label in zip(places, labels, strict=True):
        stored.append(_encode(df.iloc[:, place], df.index, what=f"column {label!r}", problems=problems))
    schema = [field(name, kept, label=label) for name, kept, label in zip(names, stored, labels, strict=True)]
    index_names, index = _index_columns(df.index)
    schema += [field(*pair) for pair in zip(index_names, index, strict=True)]
    table = table_of(schema, stored + index)
    if not table.num_columns:
        table = _rows_only(len(df))
    _refuse_unwritable(table.schema)
    return Frame(table=table, layout=_layout(df, tuple(names), tuple(index_names)))


def _layout(df: pd.DataFrame, columns: tuple[str, ...], index: tuple[str, ...]) -> Layout:
    axis = df.columns
    return Layout(
        backend="pandas",
        columns=columns,
        index=index,
        index_names=_level_names(df.index),
        is_multi=isinstance(df.index, pd.MultiIndex),
        range=(df.index.start, df.index.stop, df.index.step) if _is_range(df.index) else None,
        freq=getattr(df.index, "freqstr", None) if isinstance(df.index, pd.DatetimeIndex | pd.TimedeltaIndex) else None,
        axis_names=_level_names(axis),
        axis_dtype=_axis_dtype(axis),
    )


def _axis_dtype(axis: pd.Index) -> str | None:
    if isinstance(axis, pd.MultiIndex):
        return None
    return "range" if _is_range(axis) else str(axis.dtype)


def _level_names(index: pd.Index) -> tuple[Label, ...]:
    names = tuple(index.names)
    label_to_json(names)  # refuses what has no JSON form
    return names


def _index_columns(index: pd.Index) -> tuple[list[str], list[Column]]:
    if _is_range(index):
        return [], []
    names = [f"{RESERVED}index:{number}" for number in range(index.nlevels)]
    is_multi = isinstance(index, pd.MultiIndex)
    levels = [index.get_level_values(number) for number in range(index.nlevels)] if is_multi else [index]
    return names, [_encode(it, index, what=f"index level {it.name!r}") for it in levels]


def _is_range(index: object) -> TypeGuard[pd.RangeIndex]:
    return isinstance(index, pd.RangeIndex)


def _encode(values: object, index: pd.Index, *, what: str, problems: dict[int, str] | None = None) -> Column:
    found: dict[int, str] | None = None if problems is None else {}
    try:
        stored = column.encode(values, found)
    except Unstorable as error:
        where = "" if error.row is None or not len(index) else f", row {error.row} (index {show(index[error.row])})"
        msg = f"{what}{where}: {error.reason}"
        raise SchemaError(msg) from None
    except SchemaError as error:
        msg = f"{what}: {error}"
        raise SchemaError(msg) from None
    except Exception as error:  # pandas runs the code of the column's types, which may be the user's
        msg = f"{what} cannot be stored: reading it raised {type(error).__name__}: {show(error)}; leave it out with columns=[…]"
        raise SchemaError(msg) from error
    if problems is not None and found:
        problems.update({row: f"{what}, row {row}: {reason}" for row, reason in found.items()})
    return stored


def _dtype(stored: pa.Field) -> type[object] | None:
    # Without it pandas would look at the objects and make strings and datetimes of them.
    return object if meta_of(stored).encoding in column.OBJECTS else None


def _axis(labels: list[Label], layout: Layout) -> pd.Index:
    if layout.axis_dtype is None:
        return pd.MultiIndex.from_tuples(labels, names=list(layout.axis_names))
    name = layout.axis_names[0]
    if layout.axis_dtype != "range":
        return pd.Index(labels, dtype=layout.axis_dtype, name=name)
    step = labels[1] - labels[0] if len(labels) > 1 else 1
    found = pd.RangeIndex(labels[0], labels[0] + step * len(labels), step) if labels else pd.RangeIndex(0)
    return (found if list(found) == labels else pd.Index(labels)).rename(name)


def _with_freq(index: Any, freq: str) -> Any:
    try:
        index.freq = freq
    except ValueError:  # pandas: the rows are not contiguous after all
        return index
    return index


# --- polars and Arrow ----------------------------------------------------------------------------


def _polars_table(df: Any, columns: Sequence[Label] | None) -> pa.Table:
    if columns is not None:
        places = _places(df.columns, columns)
        if not places:
            return _rows_only(df.height)
        df = df[:, places]
    for name, dtype in df.schema.items():
        if any(word in str(dtype) for word in _POLARS_ONLY):
            msg = f"column {name!r}, row 0: polars dtype {dtype} cannot be stored; cast it, or leave it out"
            raise SchemaError(msg)
    return df.to_arrow()


def _from_arrow(table: pa.Table, *, backend: str) -> Frame:
    if table.column_names == [_ROWS] or not table.num_columns:
        return Frame(table=_rows_only(table.num_rows), layout=Layout(backend=backend, columns=()))
    _refuse_duplicates(table.column_names)
    names = _stored_names(table.column_names)
    stored = [
        _encode_arrow(array, what=f"column {name!r}")
        for name, array in zip(table.column_names, table.columns, strict=True)
    ]
    schema = [
        field(name, kept, label=old.name, metadata=old.metadata)
        for name, kept, old in zip(names, stored, table.schema, strict=True)
    ]
    kept = table_of(schema, stored, table.schema.metadata)
    _refuse_unwritable(kept.schema)
    return Frame(table=kept, layout=Layout(backend=backend, columns=tuple(names)))


def _encode_arrow(array: pa.ChunkedArray, *, what: str) -> Column:
    try:
        return column.encode_arrow(array)
    except Unstorable as error:
        msg = f"{what}: {error.reason}"
        raise SchemaError(msg) from None


def _to_arrow(table: pa.Table, layout: Layout) -> object:
    stored = [table.schema.field(name) for name in layout.columns]
    arrays = [column.restore(table.column(it.name), meta_of(it)) for it in stored]
    schema = [
        pa.field(label_of(it), array.type, metadata=it.metadata) for it, array in zip(stored, arrays, strict=True)
    ]
    plain = pa.Table.from_arrays(arrays, schema=pa.schema(schema, metadata=table.schema.metadata))
    return plain if layout.backend == "arrow" else to_polars(plain)


def to_polars(table: pa.Table) -> object:
    """Return an Arrow table as a polars frame."""
    import polars as pl  # heavy and optional: only who brought a polars frame needs it

    return pl.from_arrow(table)


def _to_python(array: pa.Array, _: object) -> list[object]:
    return inference.to_python(array)


# --- both ----------------------------------------------------------------------------------------


def _rows_only(n_rows: int) -> pa.Table:
    """Return a table of so many rows without a column that means something: the length of a table is that of its columns."""
    return pa.table({_ROWS: pa.nulls(n_rows)})


def _whole(table: pa.Table, name: str) -> pa.Array:
    return table.column(name).combine_chunks()


def _places(labels: list[Label], wanted: Sequence[Label]) -> list[int]:
    """Return where each wanted column is, or raise `SchemaError` that lists what exists."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in names if name not in labels]
    if unknown:
        shown = ", ".join(map(repr, labels[:30])) + (", …" if len(labels) > 30 else "")  # noqa: PLR2004
        msg = f"no column {', '.join(map(repr, unknown))}; the frame has: {shown or 'no columns'}"
        raise SchemaError(msg)
    return [place for name in names for place, label in enumerate(labels) if label == name]


def _refuse_duplicates(labels: list[Label]) -> None:
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        msg = f"more than one column is named {twice[0]!r}; rename them, a row function could not tell them apart"
        raise SchemaError(msg)


def _stored_names(labels: list[Label]) -> list[str]:
    """Choose a distinct Parquet name for each label: the label itself where that is possible."""
    for label in labels:
        label_to_json(label)  # refuses what has no JSON form
    taken = {label for label in labels if isinstance(label, str)}
    names: list[str] = []
    for place, label in enumerate(labels):
        name = str(label)
        if name.startswith(RESERVED) or (not isinstance(label, str) and name in taken):
            name = f"{RESERVED}column:{place}"
        taken.add(name)
        names.append(name)
    return names


def _refuse_unwritable(schema: pa.Schema) -> None:
    """Raise `SchemaError` for the first column that Parquet has no form for."""
    for stored in schema:
        try:
            storable.check_writable(stored.type)
        except ValueError as error:
            msg = f"column {label_of(stored)!r}, row 0: {error}; cast it first"
            raise SchemaError(msg) from None
