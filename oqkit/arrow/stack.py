"""Value tables of groups → one frame under their keys, as pandas' ``groupby.apply`` gives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow import column
from oqkit.arrow.align import Piece, align, to_series
from oqkit.arrow.many import SERIES, index_names, many_of
from oqkit.arrow.metadata import RESERVED, label_of, meta_of
from oqkit.arrow.table import to_polars
from oqkit.arrow.unify import unify
from oqkit.arrow.value import COLUMNS, KIND, SCALAR, VALUE, is_scalar
from oqkit.errors import UsageError

Missing = Literal["null", "drop"]


def stack(pieces: Sequence[Piece], *, keys: Any, backend: str, name: str, missing: Missing) -> Any:
    """Return one frame of what groups gave; a piece is (numbers of groups, value table of as many rows), in any order.

    `keys` names the groups, by number: a pandas index, or, of other frames, an Arrow table. Values, dicts and Series that have
    the same labels in all groups give a row a group (null, or none, where there is none), values in the column `name`. Rows of
    frames, and of other Series, come below each other, in pandas with the labels of their own as further levels. Columns of
    other frames than pandas' come after those of the keys.
    """
    kinds = {many_of(table.schema) for _, table in pieces} - {b""}
    if backend != "pandas":
        return _beside_keys(pieces, keys, backend=backend, name=name, missing=missing, has_frames=bool(kinds))
    if not kinds:
        return align(pieces, n_rows=len(keys), index=keys, backend="pandas", name=name, missing=missing)
    rows, table = _in_order(pieces, name)
    if kinds == {SERIES}:
        wide = _wide(rows, table, n_groups=len(keys))
        if wide is not None:
            return _of_groups(wide, np.unique(rows), keys, missing)
    levels = [_level(table, it) for it in index_names(table.schema)]
    frame = _columns(table, pd.RangeIndex(len(rows)))
    frame.index = _under(keys.take(rows), levels)
    return frame


def rows_of(table: pa.Table) -> pd.DataFrame:
    """Return the rows that one call gave, with their own labels, if they have any."""
    levels = [_level(table, it) for it in index_names(table.schema)]
    if not levels:
        return _columns(table, pd.RangeIndex(table.num_rows))
    names = [level.name for level in levels]
    return _columns(table, levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels, names=names))


def below(pieces: Sequence[Piece], *, labels: Any, backend: str, name: str) -> tuple[Any, np.ndarray]:
    """Return all rows that rows gave, those of the first first, and which row each is of: as pandas explodes a column.

    `labels` has those of all rows, for pandas: they are repeated, and labels that the results have themselves are left out.
    """
    rows, table = _in_order(pieces, name)
    if backend != "pandas":
        plain = _plain(table)
        return plain if backend == "arrow" else to_polars(plain), rows
    return _columns(table, pd.RangeIndex(len(rows))).set_axis(labels[rows]), rows


def spread(tasks: np.ndarray, table: pa.Table, *, bounds: np.ndarray, positions: np.ndarray) -> Piece:
    """Return a piece of groups by rows: those of group g are ``positions[bounds[g]:bounds[g + 1]]``.

    A value goes to each row of its group; rows of a frame or Series go to them one by one. Raise `UsageError` if there are
    more or fewer of those.
    """
    is_many = bool(many_of(table.schema))
    groups, counts = np.unique(tasks, return_counts=True)
    sizes = bounds[groups + 1] - bounds[groups]
    if is_many and (sizes != counts).any():
        place = int(np.flatnonzero(sizes != counts)[0])
        raise UsageError(
            f"join=: a group of {sizes[place]:,} rows gave {counts[place]:,}; results stand beside the rows of a frame if each "
            "group gives as many as it has, or one value, or a dict"
        )
    rows = np.concatenate([np.zeros(0, "int64"), *(positions[bounds[one] : bounds[one + 1]] for one in groups)])
    order = np.argsort(tasks, kind="stable")
    if is_many:
        return rows, _without_labels(table.take(pa.array(order)))
    return rows, table.take(pa.array(np.repeat(order, sizes)))


def _without_labels(table: pa.Table) -> pa.Table:
    """Return rows of frames or Series without their labels; those of a Series without a name as single values."""
    is_unnamed = many_of(table.schema) == SERIES and VALUE in table.column_names
    table = table.drop_columns(index_names(table.schema))
    return table.replace_schema_metadata({KIND: SCALAR if is_unnamed else COLUMNS})


def _in_order(pieces: Sequence[Piece], name: str) -> tuple[np.ndarray, pa.Table]:
    """Return all rows of pieces that are several of a group, those of the first group first, each group's in their order."""
    tables = [_as_columns(table, name) for _, table in pieces]
    if not pieces:
        return np.zeros(0, "int64"), pa.table({name: pa.nulls(0)})
    told = [place for place, table in enumerate(tables) if many_of(pieces[place][1].schema) or not _is_nothing(table)]
    table = pa.concat_tables(unify([tables[place] for place in told])).combine_chunks()
    rows = np.concatenate([np.asarray(pieces[place][0], "int64") for place in told])
    if (np.diff(rows) < 0).any():
        order = np.argsort(rows, kind="stable")
        rows, table = rows[order], table.take(pa.array(order))
    return rows, table


def _as_columns(table: pa.Table, name: str) -> pa.Table:
    """Return a table of single values as one of a column of theirs, to go with frames."""
    if is_scalar(table.schema):
        table = table.rename_columns([name])
    return table.replace_schema_metadata({KIND: COLUMNS})


def _is_nothing(table: pa.Table) -> bool:
    return all(pa.types.is_null(kind) for kind in table.schema.types)


def _columns(table: pa.Table, index: pd.Index) -> pd.DataFrame:
    fields = [
        stored for stored in table.schema if not stored.name.startswith(RESERVED) or label_of(stored) != stored.name
    ]
    fields = [stored for stored in fields if stored.name not in index_names(table.schema)]
    frame = pd.DataFrame(
        {
            place: to_series(table, table.schema.get_field_index(stored.name), index)
            for place, stored in enumerate(fields)
        },
        index=index,
    )
    frame.columns = pd.Index([label_of(stored) for stored in fields])
    return frame


def _level(table: pa.Table, stored: str) -> pd.Index:
    field = table.schema.field(stored)
    label = label_of(field)
    name = None if label == stored else label
    return column.to_index(table.column(stored).combine_chunks(), meta_of(field), name=name)


def _under(keys: pd.Index, levels: Sequence[pd.Index]) -> pd.Index:
    """Put levels below those of the keys."""
    if not levels:
        return keys
    above = [keys.get_level_values(number) for number in range(keys.nlevels)]
    return pd.MultiIndex.from_arrays([*above, *levels], names=[level.name for level in (*above, *levels)])


# --- Series --------------------------------------------------------------------------------------


def _wide(rows: np.ndarray, table: pa.Table, *, n_groups: int) -> pd.DataFrame | None:
    """Return a row a group, and a column a label, if the Series of all groups have the same labels in the same order."""
    counts = np.bincount(rows, minlength=n_groups)
    width = int(counts.max(initial=0))
    if not width or not np.isin(counts, (0, width)).all():
        return None
    levels = [_level(table, stored) for stored in index_names(table.schema)]
    for level in levels:
        codes = pd.factorize(level, use_na_sentinel=False)[0].reshape(-1, width)
        if not (codes == codes[0]).all():
            return None
    values = _columns(table, pd.RangeIndex(len(rows)))
    heads = [level[:width] for level in levels]
    labels = heads[0] if len(heads) == 1 else pd.MultiIndex.from_arrays(heads, names=[head.name for head in heads])
    given = values.iloc[:, 0].to_numpy().reshape(-1, width)
    frame = pd.DataFrame(given.tolist() if given.dtype == object else given, columns=labels)
    if labels.name is None and values.columns[0] != VALUE:
        frame.columns.name = values.columns[0]
    return frame


def _of_groups(frame: pd.DataFrame, rows: np.ndarray, keys: pd.Index, missing: Missing) -> pd.DataFrame:
    """Give the rows of these groups their keys, and all others null, or none."""
    if missing == "null" and len(rows) < len(keys):
        return frame.set_axis(rows).reindex(np.arange(len(keys))).set_axis(keys)
    return frame.set_axis(keys.take(rows))


# --- polars and Arrow ----------------------------------------------------------------------------


def _beside_keys(
    pieces: Sequence[Piece], keys: pa.Table, *, backend: str, name: str, missing: Missing, has_frames: bool
) -> Any:
    if has_frames:
        rows, values = _in_order(pieces, name)
        values = _plain(values)
    else:
        rows = np.arange(keys.num_rows)
        if missing == "drop":
            rows = np.sort(np.concatenate([numbers for numbers, _ in pieces] or [np.zeros(0, "int64")]))
        values = align(pieces, n_rows=keys.num_rows, index=None, backend="arrow", name=name, missing=missing)
    found = keys.take(pa.array(rows))
    for label in values.column_names:
        if label in found.column_names:  # what the function returned itself
            found = found.drop_columns([label])
    for field, array in zip(values.schema, values.columns, strict=True):
        found = found.append_column(field, array)
    return found if backend == "arrow" else to_polars(found)


def _plain(table: pa.Table) -> pa.Table:
    """Return the columns as polars and Arrow have them, without labels of rows."""
    table = table.drop_columns(index_names(table.schema))
    arrays = [column.restore(array, meta_of(stored)) for array, stored in zip(table.columns, table.schema, strict=True)]
    return pa.Table.from_arrays(arrays, names=[str(label_of(stored)) for stored in table.schema])
