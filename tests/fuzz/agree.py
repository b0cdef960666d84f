"""Whether what came back says what was given: written without a look at how it is stored."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa


def agrees(got: Any, given: Any) -> bool:
    """Whether two values are the same to their user, in a column that gives them one type.

    Missing values are one; an int may be a float of that very number; what has fields is a dict of them.
    """
    given = _plain(given)
    if _is_missing(given):
        return _is_missing(got) or (isinstance(got, float) and math.isnan(got))  # as columns of floats and text show it
    if _is_missing(got):
        return False
    if isinstance(given, bool | np.bool_):
        return isinstance(got, bool | np.bool_) and bool(got) == bool(given)
    for test, compare in _COMPARED:
        if isinstance(given, test):
            return compare(_plain(got), given)
    return type(got) is type(given) and got == given


def _plain(value: Any) -> Any:
    if isinstance(value, pa.Scalar):
        return value.as_py()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    return value.model_dump() if hasattr(value, "model_dump") else value


def _is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value))


def _number(got: Any, given: Any) -> bool:
    if isinstance(got, bool | np.bool_) or not isinstance(got, int | float | np.integer | np.floating):
        return False
    one, other = (it.item() if isinstance(it, np.generic) else it for it in (got, given))
    if isinstance(other, float) and math.isnan(other):
        return isinstance(one, float) and math.isnan(one)
    if isinstance(other, float) and not other and isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and not one
    return bool(one == other)


def _decimal(got: Any, given: Decimal) -> bool:
    if not isinstance(got, Decimal):
        return False
    return str(got) == str(given) if given.is_nan() else (got == given and got.is_signed() == given.is_signed())


def _moment(got: Any, given: Any) -> bool:
    """Compare wall clock, offset and zone."""
    if isinstance(given, np.datetime64) or isinstance(got, np.datetime64):
        return _exact(got) is not None and _exact(got) == _exact(given)
    if (
        not isinstance(got, dt.datetime)
        or got.utcoffset() != given.utcoffset()
        or given.tzname() not in {got.tzname(), None}
    ):
        return False
    if _key(got.tzinfo) != _key(given.tzinfo):
        return False
    if isinstance(got, pd.Timestamp) or isinstance(given, pd.Timestamp):
        return _exact(got) == _exact(given)
    return got.replace(tzinfo=None) == given.replace(tzinfo=None) and (got.tzinfo is None or got.fold == given.fold)


def _key(zone: Any) -> Any:
    """Return what a zone does in summer and winter, as its clocks may differ."""
    if zone is None:
        return None
    return [dt.datetime(2020, month, 1, 12, tzinfo=zone).utcoffset() for month in (1, 7)]


_PER_S = {"W": 604_800, "D": 86_400, "h": 3600, "m": 60, "s": 1}
_PER = {"ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}


def _exact(value: Any) -> Any:
    """Return a naive moment or a span as femtoseconds since 1970, by whole numbers alone."""
    if isinstance(value, dt.datetime) and not isinstance(value, pd.Timestamp):
        value = pd.Timestamp(value)
    if isinstance(value, dt.timedelta) and not isinstance(value, pd.Timedelta):
        return (value // dt.timedelta(microseconds=1)) * 10**12
    if isinstance(value, pd.Timestamp | pd.Timedelta):
        value = value.asm8
    if not isinstance(value, np.datetime64 | np.timedelta64):
        return None
    unit, count = np.datetime_data(value.dtype)
    number = int(value.view("i8")) * count
    if unit in "YM" and isinstance(value, np.datetime64):
        months = number * (12 if unit == "Y" else 1)
        if not -12 * 1960 < months < 12 * 8000:
            return ("months", months)
        return (dt.date(1970 + months // 12, months % 12 + 1, 1).toordinal() - 719_163) * 86_400 * 10**18
    if unit in _PER_S:
        return number * _PER_S[unit] * 10**18
    return number * 10**18 // _PER[unit] if unit in _PER else (unit, number)


def _span(got: Any, given: Any) -> bool:
    return isinstance(got, dt.timedelta | np.timedelta64) and _exact(got) == _exact(given)


def _time(got: Any, given: dt.time) -> bool:
    same = (
        isinstance(got, dt.time) and got.replace(tzinfo=None) == given.replace(tzinfo=None) and got.fold == given.fold
    )
    return same and str(got.tzinfo) == str(given.tzinfo)


def _array(got: Any, given: np.ndarray) -> bool:
    return (
        isinstance(got, np.ndarray)
        and got.dtype == given.dtype
        and got.shape == given.shape
        and got.tobytes() == given.tobytes()
    )


def _sequence(got: Any, given: Any) -> bool:
    return type(got) is type(given) and len(got) == len(given) and all(map(agrees, got, given))


def _mapping(got: Any, given: Mapping[Any, Any]) -> bool:
    if type(got) is not dict or len(got) != len(given):
        return False
    keys = {(type(key), key): key for key in got}
    return all((type(key), key) in keys and agrees(got[key], value) for key, value in given.items())


def _set(got: Any, given: Any) -> bool:
    return type(got) is type(given) and {(type(it), it) for it in got} == {(type(it), it) for it in given}


_COMPARED: list[tuple[Any, Any]] = [
    (np.datetime64, _moment),
    (np.timedelta64, _span),
    (int | float | np.integer | np.floating, _number),
    (dt.datetime, _moment),
    (dt.timedelta, _span),
    (dt.time, _time),
    (Decimal, _decimal),
    (np.ndarray, _array),
    (list | tuple, _sequence),
    (Mapping, _mapping),
    (set | frozenset, _set),
    (str, lambda got, given: isinstance(got, str) and str(got) == str(given)),
]
