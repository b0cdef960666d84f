"""What functions return that may be several rows: frames, Series, lists → one Arrow table of all rows, and whose each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.metadata import RESERVED, named
from oqkit.arrow.share import Share, joined
from oqkit.arrow.table import to_table
from oqkit.arrow.value import COLUMNS, KIND, VALUE, encode_values, unreadable
from oqkit.errors import SchemaError

#: Schema metadata: the rows are those of frames (`FRAMES`), or the values of Series (`SERIES`), with their labels in `index_names`.
MANY: Final = b"oq.many"
FRAMES: Final = b"frames"
SERIES: Final = b"series"
_INDEX: Final = f"{RESERVED}index:"


def many_of(schema: pa.Schema) -> bytes:
    """Return `FRAMES` or `SERIES` of a table of such rows, of any other nothing."""
    kind: bytes = (schema.metadata or {}).get(MANY, b"")
    return kind


def index_names(schema: pa.Schema) -> list[str]:
    """Return the columns that hold the labels of rows, a level each."""
    return [name for name in schema.names if name.startswith(_INDEX)]


def encode_many(values: Sequence[Any], *, explodes: bool) -> tuple[pa.Table, np.ndarray, dict[int, str]]:
    """Store what calls returned: a table, for each of its rows the position of its call, and why some could not be stored.

    A frame gives its rows, with their labels if it is of pandas, and so does a Series; None among those gives none. If it
    `explodes`, a list gives a row an item, and None, like an empty list, none. Anything else gives the one row that
    `encode_values` makes of it. What could not be stored, by position, has no row.
    """
    if explodes:
        return _exploded(values)
    kinds = {_kind_of(value) for value in values} - {b""}
    if not kinds:
        table, problems = encode_values(values)
        kept = np.array([place for place in range(len(values)) if place not in problems], "int64")
        return (table.take(pa.array(kept)) if problems else table), kept, problems
    kind = SERIES if kinds == {SERIES} else FRAMES
    join = _joined_series if kind is SERIES else _joined_frames
    return _encoded([place for place, value in enumerate(values) if value is not None], values, kind, join)


def _kind_of(value: object) -> bytes:
    """Return what a value makes of those that come with it; nothing says that None does nothing."""
    if value is None:
        return b""
    if isinstance(value, pd.Series):
        return SERIES
    return FRAMES if is_frame(value) else b""


def is_frame(value: object) -> bool:
    """Whether a value is a frame of pandas, polars or Arrow."""
    is_polars = type(value).__module__.partition(".")[0] == "polars" and hasattr(value, "get_columns")
    return is_polars or isinstance(value, pd.DataFrame | pa.Table | pa.RecordBatch)


Join = Callable[[list[Any]], tuple[pa.Table, list[int]]]
"""Makes one table of the rows of some values, and says how many each has."""


def _encoded(
    places: list[int], values: Sequence[Any], kind: bytes, join: Join
) -> tuple[pa.Table, np.ndarray, dict[int, str]]:
    problems: dict[int, str] = {}
    try:
        table, counts = join([values[place] for place in places])
    except BaseException:  # noqa: BLE001 - reading them runs the code of their types, which may be the user's: whose was it?
        for place in places:
            try:
                join([values[place]])
            except BaseException as error:  # noqa: BLE001 - as above
                problems[place] = str(error) if isinstance(error, SchemaError) else unreadable(values[place], error)
        places = [place for place in places if place not in problems]
        try:
            table, counts = join([values[place] for place in places])
        except BaseException as error:  # noqa: BLE001 - each for itself, but not all together
            problems |= {place: unreadable(values[place], error) for place in places}
            table, counts, places = pa.table({VALUE: pa.nulls(0)}), [], []
    metadata = {**(table.schema.metadata or {}), KIND: COLUMNS, MANY: kind}
    return table.replace_schema_metadata(metadata), np.repeat(np.array(places, "int64"), counts), problems


# --- frames --------------------------------------------------------------------------------------


def _joined_frames(values: list[Any]) -> tuple[pa.Table, list[int]]:
    frames = [_as_frame(value) for value in values]
    if all(isinstance(frame, pd.DataFrame) for frame in frames):
        return _stored(_concat(frames)), [len(frame) for frame in frames]
    tables = [pa.table(frame) if isinstance(frame, pa.RecordBatch) else to_table(frame).table for frame in frames]
    return pa.concat_tables(tables, promote_options="permissive"), [table.num_rows for table in tables]


def _joined_shares(values: list[Any]) -> tuple[pa.Table, list[int]]:
    return _stored(_concat(list(joined(values)))), [value.stop - value.first for value in values]


def _as_frame(value: Any) -> Any:
    if is_frame(value):
        return value
    if isinstance(value, pd.Series):
        return value.to_frame(VALUE if value.name is None else value.name)
    return pd.DataFrame([value] if isinstance(value, Mapping) else {VALUE: [value]})


def _concat(frames: list[Any]) -> Any:
    if len(frames) == 1:
        return frames[0]
    filled = [frame for frame in frames if len(frame)]  # what is empty has no say in what type the others have
    return pd.concat(filled, sort=False) if filled else frames[0] if frames else pd.DataFrame()


def _stored(frame: pd.DataFrame) -> pa.Table:
    if isinstance(frame.index, pd.RangeIndex):  # is not stored; these labels are
        frame = frame.set_axis(pd.Index(frame.index.to_numpy(), name=frame.index.name))
    stored = to_table(frame)
    names = dict(zip(stored.layout.index, stored.layout.index_names, strict=True))
    fields = [
        field if (label := names.get(field.name)) is None else named(field, label) for field in stored.table.schema
    ]
    return stored.table.cast(pa.schema(fields, metadata=stored.table.schema.metadata))


# --- Series --------------------------------------------------------------------------------------


def _joined_series(values: list[Any]) -> tuple[pa.Table, list[int]]:
    counts = [len(value) for value in values]
    if not values:
        return _stored(pd.DataFrame({VALUE: []})), counts
    first = values[0]
    are_alike = all(value.index is first.index or value.index.equals(first.index) for value in values)
    if are_alike and all(isinstance(value.dtype, np.dtype) and value.dtype == first.dtype for value in values):
        joined = np.concatenate([value.to_numpy() for value in values])
        index = first.index.take(np.tile(np.arange(len(first)), len(values)))
        series = pd.Series(joined, index=index, dtype=first.dtype)
    else:
        series = pd.concat([value for value in values if len(value)] or values[:1])
    names = {value.name for value in values}
    name = names.pop() if len(names) == 1 else None
    return _stored(series.to_frame(VALUE if name is None else name)), counts


# --- lists ---------------------------------------------------------------------------------------


def _exploded(values: Sequence[Any]) -> tuple[pa.Table, np.ndarray, dict[int, str]]:
    given = [place for place, value in enumerate(values) if value is not None]
    if given and all(isinstance(values[place], Share) for place in given):
        return _encoded(given, values, FRAMES, _joined_shares)
    if any(is_frame(value) for value in values):
        return _encoded(given, [_listed(value) for value in values], FRAMES, _joined_frames)
    lists = [_items(value) for value in values]
    owners = np.repeat(np.arange(len(values)), [len(items) for items in lists])
    table, bad = encode_values([item for items in lists for item in items])
    problems = {int(owners[row]): reason for row, reason in bad.items()}
    if problems:
        kept = np.flatnonzero(~np.isin(owners, list(problems)))
        table, owners = table.take(pa.array(kept)), owners[kept]
    return table, owners, problems


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, pd.Series | pd.Index | np.ndarray):
        return list(value)
    return (
        list(value) if isinstance(value, list | tuple | set | frozenset) and not hasattr(value, "_fields") else [value]
    )


def _listed(value: Any) -> Any:
    """Return a list as a frame, to go with others."""
    if value is None or is_frame(value):
        return value
    items = _items(value)
    are_rows = bool(items) and all(isinstance(item, Mapping) for item in items)
    return pd.DataFrame(items if are_rows else {VALUE: items})
