"""By what an item of `map(key=)` is known: keys that are equal are one, whatever type they have.

Two keys are one if pandas would find one by the other in an index, except that True is not 1:

* numbers by their value: 1, 1.0, ``np.int64(1)``, ``np.float32(1)`` and ``Decimal("1.0")`` are one, and 0.1 and ``np.float32(0.1)``
  are two, as they differ;
* truth is no number, and text is none: True, 1 and "1" are three;
* text by what is in it: ``np.str_("a")`` is "a", and b"a" is another;
* moments by when they are: in whatever unit, of whatever library, and with a time zone in whatever zone. A time without a zone is
  none of those, and a day is not its midnight;
* durations by how long they are;
* tuples by their members; everything else as it is, with its type.

None, NaN, NaT and NA are no keys.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

_MOST_DIGITS: Final = 400
"""No float has more before its point."""


def is_missing(key: object) -> bool:
    """Whether a key is none: None, NaN, NaT or NA."""
    return key is None or (bool(pd.api.types.is_scalar(key)) and bool(pd.isna(key)))  # type: ignore[call-overload]


def plain(key: Any) -> object:
    """Return the one value that stands for all keys that are equal to this one."""
    found = key
    match key:
        case dt.datetime() | np.datetime64():  # a `Timestamp` is a datetime
            found = _coarse(pd.Timestamp(key))
        case dt.timedelta() | np.timedelta64():
            found = _duration(key)
        case Decimal():
            found = _decimal(key)
        case tuple():
            found = tuple(map(plain, key))
        case np.generic():
            found = key.item()
        case _:
            pass
    return int(found) if isinstance(found, float) and found.is_integer() else found


def known_by(value: object, field: str) -> object:
    """Return an item with its key as `plain` has it; what is no item stays as it is."""
    return {**value, field: plain(value[field])} if isinstance(value, Mapping) and field in value else value


def _coarse(moment: pd.Timestamp) -> pd.Timestamp:
    """Return a moment in UTC, or a time without a zone, in the largest unit that has all of it."""
    moment = moment if moment.tz is None else moment.tz_convert("UTC")
    units = (moment.as_unit(unit) for unit in ("s", "ms", "us"))
    return next((one for one in units if one == moment), moment)


def _duration(key: Any) -> object:
    try:
        exact = pd.Timedelta(key if type(key) is not dt.timedelta else np.timedelta64(key, "us"))
        units = [exact.as_unit(unit) for unit in ("s", "ms", "us")]
    except (ValueError, OverflowError):  # longer than pandas has words for
        return key
    return next((one for one in units if one == exact), exact)


def _decimal(key: Decimal) -> object:
    """Return the number that Python finds a decimal equal to; without the zeros at its end if there is none."""
    if not key.is_finite() or key.adjusted() > _MOST_DIGITS:
        return key
    if key == key.to_integral_value():
        return int(key)
    if Decimal(float(key)) == key:
        return float(key)
    sign, digits, exponent = key.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    return Decimal((sign, tuple(map(int, text)), int(exponent) + len(digits) - len(text)))
