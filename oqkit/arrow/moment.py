"""Timestamps and durations of Python, numpy and pandas as whole numbers of a unit, for values that functions return."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from oqkit.arrow.equality import is_same
from oqkit.arrow.metadata import Column, ColumnMeta
from oqkit.arrow.zone import Zone, arrow_zone, library_of, zone_of

_NS: Final = {
    "W": 7 * 86_400 * 10**9,
    "D": 86_400 * 10**9,
    "h": 3_600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 10**3,
    "ns": 1,
}
_DAY_US: Final = 86_400 * 10**6
#: Python's years 1 to 9999, a day less at each end, so that every zone's clock is within.
_FIRST_US: Final = (dt.date.min.toordinal() - dt.date(1970, 1, 1).toordinal() + 1) * _DAY_US
_STOP_US: Final = (dt.date.max.toordinal() - dt.date(1970, 1, 1).toordinal()) * _DAY_US
_MAX_DAYS: Final = 999_999_999  # of a Python timedelta


def timestamps(values: Sequence[object]) -> Column:
    """Return the column of these datetimes, pandas Timestamps and numpy datetimes; None and NaT are null.

    In microseconds, in nanoseconds if one value has that unit. Raise `ValueError` if they have several zones, or
    one of them has no exact form.
    """
    zones = {_zone(value) for value in _present(values)}
    if len(zones) > 1:
        msg = "datetimes of different zones"
        raise ValueError(msg)
    zone, library = zones.pop() if zones else (None, None)
    name = None if zone is None else arrow_zone(zone)
    if (name is None) != (zone is None):
        msg = f"the zone {zone!r} has no Arrow form"
        raise ValueError(msg)
    unit = _unit(values)
    ticks = [None if _is_null(value) else _ticks(_moment_ns(value), unit) for value in values]
    if unit == "us" and not all(_FIRST_US <= tick < _STOP_US for tick in ticks if tick is not None):
        msg = "years before 1 or after 9999"
        raise ValueError(msg)
    return Column(array=pa.array(ticks, pa.int64()).cast(pa.timestamp(unit, name)), meta=ColumnMeta(zone=library))


def durations(values: Sequence[object]) -> pa.Array:
    """Return the array of these time spans, in the unit as `timestamps` has it; raise `ValueError` or `OverflowError`."""
    unit = _unit(values)
    ticks = [None if _is_null(value) else _ticks(_span_ns(value), unit) for value in values]
    if unit == "us" and any(abs(tick) >= _MAX_DAYS * _DAY_US for tick in ticks if tick is not None):
        msg = "longer than a timedelta can be"
        raise ValueError(msg)
    return pa.array(ticks, pa.int64()).cast(pa.duration(unit))


def _present(values: Sequence[object]) -> list[object]:
    return [value for value in values if not _is_null(value)]


def _zone(value: object) -> tuple[Zone | None, str | None]:
    """Return the zone of a moment, and of which library it is."""
    zone = getattr(value, "tzinfo", None)
    return (None, None) if zone is None else (zone_of(zone), library_of(zone))


def _is_null(value: object) -> bool:
    return (
        value is None
        or value is pd.NaT
        or (isinstance(value, np.datetime64 | np.timedelta64) and bool(np.isnat(value)))
    )


def _unit(values: Sequence[object]) -> str:
    return "ns" if any(_own_unit(value) == "ns" for value in values) else "us"


def _own_unit(value: object) -> str | None:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return str(np.datetime_data(value.dtype)[0])
    return getattr(value, "unit", None)


def _ticks(ns: int, unit: str) -> int:
    ticks, rest = divmod(ns, _NS[unit])
    if rest:
        msg = f"{ns} ns is no whole number of {unit}"
        raise ValueError(msg)
    return ticks


def _moment_ns(value: object) -> int:
    if type(value) is dt.datetime:
        stamp = pd.Timestamp(value)
        if not is_same(stamp.to_pydatetime(), value):  # in a gap of its zone
            msg = f"{value!r} is no time that its zone's clocks ever showed"
            raise ValueError(msg)
        value = stamp
    return _numpy_ns(value.asm8 if isinstance(value, pd.Timestamp) else value)


def _span_ns(value: object) -> int:
    if type(value) is dt.timedelta:
        return (value // dt.timedelta(microseconds=1)) * _NS["us"]
    return _numpy_ns(value.asm8 if isinstance(value, pd.Timedelta) else value)


def _numpy_ns(value: Any) -> int:
    unit, count = np.datetime_data(value.dtype)
    number = int(value.view("i8")) * count
    if unit in {"Y", "M"} and isinstance(value, np.datetime64):
        year, month = divmod(number, 1 if unit == "Y" else 12)
        return (dt.date(1970 + year, 1 + month, 1).toordinal() - dt.date(1970, 1, 1).toordinal()) * _NS["D"]
    if unit not in _NS:
        msg = f"the unit {unit!r} is no number of nanoseconds"
        raise ValueError(msg)
    return number * _NS[unit]
