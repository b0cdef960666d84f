"""Value tables of different schemas → tables of one schema, without changing what a value means."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from oqkit.arrow import column, inference
from oqkit.arrow.metadata import (
    NATURAL,
    Column,
    ColumnMeta,
    Encoding,
    Label,
    field,
    label_of,
    meta_of,
    pack_array,
    table_of,
    unpack_array,
)
from oqkit.arrow.value import COLUMNS, KIND, SCALAR, decode_values, is_scalar, scalar_table, values_of


def unify(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the tables with one schema: fields in order of first appearance, null where a table has none.

    Numbers widen (ints beside floats become floats), categories join, nulls take any type. What is left
    becomes JSON text, from which the values come back as they were.
    """
    first = tables[0].schema
    if all(table.schema.equals(first, check_metadata=True) for table in tables[1:]):
        return list(tables)
    tables = _of_one_kind(tables)
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    unified = {name: _unify_columns([_column(table, name) for table in tables]) for name in names}
    labels = {stored.name: label_of(stored) for table in tables for stored in table.schema}
    kind = SCALAR if is_scalar(tables[0].schema) else COLUMNS
    return [
        _table({name: unified[name][place] for name in names}, labels, kind, n_rows=table.num_rows)
        for place, table in enumerate(tables)
    ]


def _of_one_kind(tables: Sequence[pa.Table]) -> list[pa.Table]:
    scalar = [table for table in tables if is_scalar(table.schema)]
    if len(scalar) in {0, len(tables)}:
        return list(tables)
    if all(pa.types.is_null(kind) for table in scalar for kind in table.schema.types):
        # Nothing but None: rows of nulls. The schema of the first table names the kind.
        template = next(table for table in tables if not is_scalar(table.schema)).schema
        return [_nulls(template, table.num_rows) if is_scalar(table.schema) else table for table in tables]
    return [table if is_scalar(table.schema) else _folded(table) for table in tables]


def _nulls(schema: pa.Schema, n_rows: int) -> pa.Table:
    return pa.Table.from_arrays([pa.nulls(n_rows, kind) for kind in schema.types], schema=schema)


def _folded(table: pa.Table) -> pa.Table:
    """Make one column of dicts of a table of columns; a row of nulls most likely was None."""
    dicts = decode_values(table)
    values = [row if any(value is not None for value in row.values()) else None for row in dicts]
    return scalar_table(column.encode_json(values))


def _column(table: pa.Table, name: str) -> Column:
    place = table.schema.get_field_index(name)
    if place < 0:
        return Column(array=pa.chunked_array([pa.nulls(table.num_rows)]))
    return Column(array=table.column(place), meta=meta_of(table.schema.field(place)))


def _table(columns: dict[str, Column], labels: dict[str, Label], kind: bytes, *, n_rows: int) -> pa.Table:
    arrays = [
        replace(it, array=pa.nulls(n_rows, it.array.type)) if it.array.null_count == n_rows else it
        for it in columns.values()
    ]
    fields = [field(name, it, label=labels[name]) for name, it in zip(columns, arrays, strict=True)]
    return table_of(fields, arrays, {KIND: kind})


# --- one column ----------------------------------------------------------------------------------


def _unify_columns(variants: list[Column]) -> list[Column]:
    """Return the same column of every table with one type and one sidecar."""
    told = [it for it in variants if not pa.types.is_null(it.array.type)]
    kind = reduce(_wider, (it.array.type for it in told), pa.null())
    meta = None if kind is None else _common_meta(told, kind)
    if meta is not None:
        try:
            return [Column(array=it.array.cast(kind), meta=meta) for it in variants]
        except inference.REFUSED:  # an int that no float can hold, say
            pass
    return [column.encode_json(values_of(it.array.combine_chunks(), it.meta)) for it in variants]


def _common_meta(variants: list[Column], kind: pa.DataType) -> ColumnMeta | None:
    """Return the sidecar that fits all variants once they have the type `kind`, or None."""
    metas = list(dict.fromkeys(it.meta for it in variants))
    if len(metas) <= 1:
        return metas[0] if metas else NATURAL
    encodings = {meta.encoding for meta in metas}
    if encodings == {Encoding.CATEGORY} and (joined := _joined_category(metas)) is not None:
        return joined
    if Encoding.CATEGORY in encodings:  # back to plain values
        if any(meta.ordered for meta in metas):
            warnings.warn(_NO_ORDER, stacklevel=2)
        return _common_meta([replace(it, meta=_value_meta(it.meta)) for it in variants], kind)
    return _mixed_meta(variants, kind, encodings)


def _value_meta(meta: ColumnMeta) -> ColumnMeta:
    return meta if meta.categories is None else unpack_array(meta.categories).meta


def _mixed_meta(variants: list[Column], kind: pa.DataType, encodings: set[Encoding]) -> ColumnMeta | None:
    if len({it.meta.zone for it in variants}) > 1:
        return None
    if encodings <= {Encoding.NATURAL, Encoding.NUMPY}:
        return NATURAL
    if encodings == {Encoding.OBJECT}:
        return ColumnMeta(encoding=Encoding.OBJECT)
    special = {it.meta: it.array.type for it in variants if it.meta.encoding is not Encoding.NATURAL}
    if len(special) > 1 or not encodings <= _MIXABLE:
        return None
    meta, own = special.popitem()
    return meta if own == kind or (_is_text(own) and _is_text(kind)) else NATURAL


_NO_ORDER: Final = (
    "slices were returned with ordered categories whose orders do not go together, so the values come without an order; "
    "return every slice with the same pd.CategoricalDtype([...], ordered=True)"
)
#: A column of one of these encodings and a natural one of the same type go together, as Int64 and int64 do.
_MIXABLE: Final = frozenset({Encoding.NATURAL, Encoding.EXTENSION, Encoding.ARROW, Encoding.OBJECT})


def _joined_category(metas: list[ColumnMeta]) -> ColumnMeta | None:
    """Return the category of all values of these; an order has to hold in each of them, and to leave no doubt."""
    parts = [
        column.to_index(it.array, it.meta, name=None) for it in (unpack_array(meta.categories or "") for meta in metas)
    ]
    if len({meta.ordered for meta in metas}) > 1:
        return None
    joined: Any = parts[0]
    for part in parts[1:]:
        joined = _in_order(joined, part) if metas[0].ordered else joined.append(part).unique()
        if joined is None:
            return None
    return replace(metas[0], categories=pack_array(column.encode(pd.Index(joined))))


def _in_order(one: pd.Index, other: pd.Index) -> pd.Index | None:
    """Return the labels of two orders in the one order that holds in both, None if there is none, or several."""
    before, after = list(one), list(other)
    merged: list[Any] = []
    while before and after:
        if before[0] == after[0]:
            merged.append(before.pop(0))
            after.pop(0)
        elif before[0] not in after and after[0] in before:
            merged.append(before.pop(0))
        elif after[0] not in before and before[0] in after:
            merged.append(after.pop(0))
        else:
            return None
    both: pd.Index = pd.Index([*merged, *before, *after])
    return both


# --- one type ------------------------------------------------------------------------------------


def _wider(one: pa.DataType | None, other: pa.DataType | None) -> pa.DataType | None:
    """Return the type that holds the values of both without changing what they mean, or None."""
    if one is None or other is None:
        return None
    if pa.types.is_dictionary(one) or pa.types.is_dictionary(other):
        return one if one == other else _wider(_value_type(one), _value_type(other))
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_nested(one) and pa.types.is_nested(other):
        return _wider_nested(one, other)
    return _wider_scalar(one, other)


def _wider_nested(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if _is_list(one) and _is_list(other):
        inner = _wider(one.value_type, other.value_type)
        return None if inner is None else pa.large_list(inner)
    is_struct = pa.types.is_struct(one) and pa.types.is_struct(other)
    return _wider_struct(one, other) if is_struct else None


def _wider_scalar(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if not any(fits(one) and fits(other) for fits in _FAMILIES):
        return None
    if getattr(one, "tz", None) != getattr(other, "tz", None):
        return None
    pair = [pa.schema([("value", kind)]) for kind in (one, other)]
    return pa.unify_schemas(pair, promote_options="permissive").field(0).type


def _wider_struct(one: pa.StructType, other: pa.StructType) -> pa.DataType | None:
    if {it.name for it in one} != {it.name for it in other}:
        return None  # filling the gaps with None would change the dicts
    fields = [(it.name, _wider(it.type, other.field(it.name).type)) for it in one]
    return None if any(kind is None for _, kind in fields) else pa.struct(fields)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


#: Types that widen among themselves.
_FAMILIES: Final[list[Callable[[pa.DataType], bool]]] = [
    _is_number,
    _is_text,
    _is_bytes,
    pa.types.is_decimal,
    pa.types.is_timestamp,
    pa.types.is_duration,
    pa.types.is_time,
]
