"""Python values ↔ one Arrow array, only where it changes no value: an int stays an int, a missing key stays missing."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import chain, pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.equality import is_same
from oqkit.arrow.zone import arrow_zone, from_arrow_zone, from_zone, zone_of
from oqkit.errors import SchemaError

#: How deep lists and dicts may be nested in one Arrow type, and how many entries they may have together.
_MAX_LEVELS: Final = 8
_MAX_ENTRIES: Final = 2**26

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
_FAITHFUL: Final = frozenset(
    {pa.null(), *(kind for python, kind in _SCALARS.items() if python is not dt.timedelta)}
)  # Arrow's int64 of microseconds ends before Python's timedelta
#: What `pa.array` raises for a value that does not fit the type it was told.
REFUSED: Final = (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError)


def from_python(values: Sequence[object]) -> pa.Array | None:
    """Return the array from which `to_python` gives these values back equal, or None if no Arrow type can.

    NaN stays NaN and None becomes null. None is returned for mixed types (1 and 2.5 too), for dicts with
    different keys, for ints beyond 64 bits, for types that Arrow does not know, and for what turns out to
    come back changed: a time in a gap of its zone, a negative zero of a Decimal.
    """
    kind = exact_type(values)
    if kind is None:
        return None
    try:
        array = _array(values, kind)
        return array if _is_faithful(kind) or all(map(is_same, to_python(array), values)) else None
    except REFUSED:
        return None


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the array of this type. pyarrow itself takes times of a zone for times of UTC where PYARROW_IGNORE_TIMEZONE is set, as it is by pandera."""
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        values = [None if value is None else value.astimezone(dt.UTC).replace(tzinfo=None) for value in values]
    return pa.array(values, kind, from_pandas=False)


def _is_faithful(kind: pa.DataType) -> bool:
    """Whether Arrow's type holds every value of the Python type that it is chosen for."""
    if pa.types.is_nested(kind):
        return all(_is_faithful(kind.field(number).type) for number in range(kind.num_fields))
    return kind in _FAITHFUL


def exact_type(values: Sequence[object], *, level: int = 0) -> pa.DataType | None:
    """Return the Arrow type that holds `values` unchanged, as far as their types tell, or None."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.null()
    if len(kinds) > 1:
        return None
    kind = kinds.pop()
    if kind in _SCALARS:
        return _SCALARS[kind]
    refine = _NESTED.get(kind)
    if refine is not None:
        if level == _MAX_LEVELS or sum(map(len, values := _present(values))) > _MAX_ENTRIES:
            return None
        return refine(values, level + 1)
    refine = _REFINED.get(kind)
    return None if refine is None else refine(_present(values))


def _present(values: Sequence[object]) -> list[Any]:
    return [value for value in values if value is not None]


def _list_type(values: list[list[object]], level: int) -> pa.DataType | None:
    inner = exact_type(list(chain.from_iterable(values)), level=level)
    return None if inner is None else pa.large_list(inner)


def _struct_type(values: list[dict[object, object]], level: int) -> pa.DataType | None:
    keys = {frozenset(value) for value in values}
    names = list(values[0])
    if len(keys) > 1 or not names or not all(type(name) is str and is_utf8(name) for name in names):
        return None
    fields = [(name, exact_type([value[name] for value in values], level=level)) for name in names]
    return None if any(kind is None for _, kind in fields) else pa.struct(fields)


def is_utf8(text: str) -> bool:
    """Whether `text` has a form in UTF-8: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _datetime_type(values: list[dt.datetime]) -> pa.DataType | None:
    zones = {id(value.tzinfo): value.tzinfo for value in values}.values()  # a zone need not be hashable
    try:
        found = {None if zone is None else arrow_zone(zone_of(zone)) for zone in zones}
    except SchemaError:
        return None
    if len(found) > 1 or (found == {None} and any(zone is not None for zone in zones)):
        return None
    return pa.timestamp("us", found.pop())


def _time_type(values: list[dt.time]) -> pa.DataType | None:
    return None if any(value.tzinfo is not None for value in values) else pa.time64("us")


def _decimal_type(values: list[Decimal]) -> pa.DataType | None:
    try:
        kind = pa.infer_type(values)
    except REFUSED:  # NaN and Infinity
        return None
    return kind if kind.scale >= 0 else None  # Parquet has no others


_NESTED: Final[dict[type, Any]] = {list: _list_type, dict: _struct_type}
_REFINED: Final[dict[type, Any]] = {
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
    if pa.types.is_timestamp(kind) and kind.tz is not None and kind.unit == "ns":
        return with_none(zoned(array))
    values: list[Any] = array.to_pylist()
    return values


def zoned(array: pa.Array, library: str | None = None) -> object:
    """Return times of a zone as pandas has them, the zone of `library`; by its name, pandas 2 would take pytz's."""
    dtype = pd.DatetimeTZDtype(array.type.unit, from_zone(from_arrow_zone(array.type.tz), library))
    return dtype.__from_arrow__(array)


def with_none(times: Any) -> list[object]:
    """Return the Timestamps of an array, None for NaT."""
    return [None if value is pd.NaT else value for value in times.tolist()]


def list_bounds(array: pa.Array) -> np.ndarray:
    """Return where each list of a list array begins in ``array.flatten()``: ``(n + 1,)`` int64; nulls are empty."""
    bounds = np.zeros(len(array) + 1, "int64")
    np.cumsum(array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False), out=bounds[1:])
    return bounds


def _lists(array: pa.Array) -> list[object]:
    flat = to_python(array.flatten())
    return _with_nulls(array, [flat[start:stop] for start, stop in pairwise(list_bounds(array).tolist())])


def _dicts(array: pa.Array) -> list[object]:
    names = [field.name for field in array.type]
    columns = [to_python(column) for column in array.flatten()]
    return _with_nulls(array, [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


def _with_nulls(array: pa.Array, values: list[object]) -> list[object]:
    if array.null_count:
        for position in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)):
            values[position] = None
    return values


def objects(values: Iterable[object], count: int) -> np.ndarray:
    """Put `count` Python values into an object array of shape ``(count,)``, also when they are lists or arrays."""
    return np.fromiter(values, dtype=object, count=count)
