"""Python values ↔ one Arrow array, only where it changes no value: an int stays an int, a missing key stays missing."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import chain, pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

_SCALARS: Final[dict[type, Any]] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.large_string(),
    bytes: pa.large_binary(),
    dt.date: pa.date32(),
    dt.timedelta: pa.duration("us"),
    uuid.UUID: pa.uuid(),
}
#: What `pa.array` raises for a value that does not fit the type it was told.
REFUSED: Final = (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError)


def from_python(values: Sequence[Any]) -> pa.Array | None:
    """Return the array from which `to_python` gives these values back equal, or None if no Arrow type can.

    NaN stays NaN and None becomes null. None is returned for mixed types (1 and 2.5 too), for dicts with
    different keys, for ints beyond 64 bits, and for types that Arrow does not know.
    """
    kind = exact_type(values)
    if kind is None:
        return None
    try:
        return pa.array(values, kind, from_pandas=False)
    except REFUSED:
        return None


def exact_type(values: Sequence[Any]) -> pa.DataType | None:
    """Return the Arrow type that holds `values` unchanged, as far as their types tell, or None."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.null()
    if len(kinds) > 1:
        return None
    kind = kinds.pop()
    if kind in _SCALARS:
        return _SCALARS[kind]
    refine = _REFINED.get(kind)
    return None if refine is None else refine([value for value in values if value is not None])


def _list_type(values: list[list[Any]]) -> pa.DataType | None:
    inner = exact_type(list(chain.from_iterable(values)))
    return None if inner is None else pa.large_list(inner)


def _struct_type(values: list[dict[Any, Any]]) -> pa.DataType | None:
    keys = {frozenset(value) for value in values}
    names = list(values[0])
    if len(keys) > 1 or not names or not all(type(name) is str for name in names):
        return None
    fields = [(name, exact_type([value[name] for value in values])) for name in names]
    return None if any(kind is None for _, kind in fields) else pa.struct(fields)


def _datetime_type(values: list[dt.datetime]) -> pa.DataType | None:
    zones = {value.tzinfo for value in values}
    if len(zones) > 1:
        return None
    try:
        return pa.infer_type(values[:1])
    except REFUSED:
        return None


def _time_type(values: list[dt.time]) -> pa.DataType | None:
    return None if any(value.tzinfo for value in values) else pa.time64("us")


def _decimal_type(values: list[Decimal]) -> pa.DataType | None:
    try:
        return pa.infer_type(values)
    except REFUSED:  # NaN and Infinity
        return None


_REFINED: Final[dict[type, Any]] = {
    list: _list_type,
    dict: _struct_type,
    dt.datetime: _datetime_type,
    dt.time: _time_type,
    Decimal: _decimal_type,
}


def to_python(array: pa.Array) -> list[Any]:
    """Return the values of one array as Python objects; faster than ``to_pylist`` for numbers and lists."""
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(array)
    if pa.types.is_struct(kind):
        return _dicts(array)
    if not array.null_count and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        numbers: list[Any] = array.to_numpy().tolist()
        return numbers
    values: list[Any] = array.to_pylist()
    return values


def list_bounds(array: pa.Array) -> np.ndarray:
    """Return where each list of a list array begins in ``array.flatten()``: ``(n + 1,)`` int64; nulls are empty."""
    bounds = np.zeros(len(array) + 1, "int64")
    np.cumsum(array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), out=bounds[1:])
    return bounds


def _lists(array: pa.Array) -> list[Any]:
    flat = to_python(array.flatten())
    return _with_nulls(array, [flat[start:stop] for start, stop in pairwise(list_bounds(array).tolist())])


def _dicts(array: pa.Array) -> list[Any]:
    names = [field.name for field in array.type]
    columns = [to_python(column) for column in array.flatten()]
    return _with_nulls(array, [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


def _with_nulls(array: pa.Array, values: list[Any]) -> list[Any]:
    if array.null_count:
        for position in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)):
            values[position] = None
    return values


def objects(values: Iterable[Any], count: int) -> np.ndarray:
    """Put `count` Python values into an object array of shape ``(count,)``, also when they are lists or arrays."""
    return np.fromiter(values, dtype=object, count=count)
