"""When a value that was stored is the one that was given: of the same type, and equal in all that a program can see."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from oqkit.arrow.zone import zone_of


def is_same(mine: object, yours: object) -> bool:
    """Whether two values are one: NaN is NaN, -0.0 is not 0.0, and a time has its wall clock, zone and fold.

    A Decimal may have zeros at its end that the other has not, and a dict its keys in another order.
    """
    kind = type(yours)
    if type(mine) is not kind:
        return False
    compare = _COMPARED.get(kind)
    if compare is not None:
        return compare(mine, yours)
    if isinstance(mine, np.generic) and isinstance(yours, np.generic):
        is_equal = mine.tobytes() == yours.tobytes() or (np.isnan(mine) and np.isnan(yours))
        return bool(mine.dtype == yours.dtype and is_equal)
    return bool(mine == yours)


def _lists(mine: Sequence[object], yours: Sequence[object]) -> bool:
    return len(mine) == len(yours) and all(map(is_same, mine, yours))


def _dicts(mine: dict[object, object], yours: dict[object, object]) -> bool:
    return mine.keys() == yours.keys() and all(is_same(mine[key], value) for key, value in yours.items())


def _floats(mine: float, yours: float) -> bool:
    if math.isnan(yours):
        return math.isnan(mine)
    return mine == yours and math.copysign(1, mine) == math.copysign(1, yours)


def _decimals(mine: Decimal, yours: Decimal) -> bool:
    if not yours.is_finite():
        return str(mine) == str(yours)
    return mine == yours and mine.is_signed() == yours.is_signed()


def _zones(mine: object, yours: object) -> bool:
    if mine is None or yours is None:
        return mine is yours
    return zone_of(mine) == zone_of(yours)


def _times(mine: dt.datetime | dt.time, yours: dt.datetime | dt.time) -> bool:
    if not _zones(mine.tzinfo, yours.tzinfo) or mine.utcoffset() != yours.utcoffset():
        return False
    return bool(mine.fold == yours.fold and mine.replace(tzinfo=None) == yours.replace(tzinfo=None))


def _timestamps(mine: pd.Timestamp, yours: pd.Timestamp) -> bool:
    is_one_moment = mine.unit == yours.unit and mine.asm8.view("i8") == yours.asm8.view("i8")
    return bool(is_one_moment and _zones(mine.tzinfo, yours.tzinfo) and mine.utcoffset() == yours.utcoffset())


def _timedeltas(mine: pd.Timedelta, yours: pd.Timedelta) -> bool:
    return bool(mine.unit == yours.unit and mine.asm8.view("i8") == yours.asm8.view("i8"))


def _arrays(mine: np.ndarray, yours: np.ndarray) -> bool:
    return bool(mine.dtype == yours.dtype and mine.shape == yours.shape and mine.tobytes() == yours.tobytes())


def _singletons(mine: object, yours: object) -> bool:
    return mine is yours


_COMPARED: Final[dict[type, Callable[[Any, Any], bool]]] = {
    list: _lists,
    tuple: _lists,
    dict: _dicts,
    float: _floats,
    Decimal: _decimals,
    dt.datetime: _times,
    dt.time: _times,
    pd.Timestamp: _timestamps,
    pd.Timedelta: _timedeltas,
    np.ndarray: _arrays,
    type(pd.NA): _singletons,
    type(pd.NaT): _singletons,
}
