"""Python values as JSON text that comes back equal: the last resort for a column that has no single Arrow type.

What JSON has is written plainly; everything else is tagged: ``(1, 2)`` is ``{"$oq": ["tuple", [1, 2]]}``.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from oqkit.errors import SchemaError

TAG: Final = "$oq"
#: What the error texts recommend.
STORABLE: Final = "numbers, text, bytes, dates, times, Decimal, UUID, arrays, and lists or dicts of them"


def dumps(value: Any) -> str:
    """Write one value as JSON text (NaN and infinities as JavaScript spells them), or raise `SchemaError`."""
    try:
        packed = _pack(value)
        text = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        msg = f"a {type_name(value)} that contains itself or is nested too deeply cannot be stored"
        raise SchemaError(msg) from None
    except ValueError as error:
        if isinstance(error, SchemaError):
            raise
        msg = f"this {type_name(value)} cannot be stored: {error}"  # an int of more than 4,300 digits
        raise SchemaError(msg) from None
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: no UTF-8, but JSON has an escape for it
        return json.dumps(packed, separators=(",", ":"))
    return text


def loads(text: str) -> Any:
    """Read back what `dumps` wrote: equal values of equal types."""
    return json.loads(text, object_hook=_unpack)


def type_name(value: Any) -> str:
    """Name the type of `value` as its user knows it: ``int``, ``Color``, ``numpy.complex128``."""
    kind = type(value)
    top = kind.__module__.partition(".")[0]
    return kind.__qualname__ if top in {"builtins", "__main__"} else f"{top}.{kind.__qualname__}"


def _pack(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in {str, int, float, bool}:
        return value
    if kind is list:
        return [_pack(item) for item in value]
    if kind is dict:
        return _pack_dict(value)
    if isinstance(value, np.generic):
        return _pack_numpy(value)
    packer = _PACKERS.get(kind)
    if packer is None:
        msg = f"{type_name(value)} cannot be stored; convert it to {STORABLE}"
        raise SchemaError(msg)
    name, pack = packer
    return {TAG: [name, *pack(value)]}


def _pack_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if TAG not in value and all(type(key) is str for key in value):
        return {key: _pack(item) for key, item in value.items()}
    return {TAG: ["dict", [[_pack(key), _pack(item)] for key, item in value.items()]]}


def _pack_set(value: Any) -> list[Any]:
    # Sorted by text: the order of a set differs between processes, and equal frames must give equal bytes.
    return [sorted((_pack(item) for item in value), key=json.dumps)]


def _pack_datetime(value: dt.datetime) -> list[Any]:
    zone = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "zone", None)
    return [value.isoformat(), zone]


def _pack_timestamp(value: Any) -> list[Any]:
    return [value.asm8.view("i8").item(), value.unit, None if value.tz is None else str(value.tz)]


def _pack_numpy(value: Any) -> Any:
    kind = value.dtype.kind
    if kind == "U":
        return str(value)
    if kind in "mM":
        return {TAG: ["numpy", value.dtype.name, value.view("i8").item()]}
    if kind in "biuf" and value.dtype.itemsize <= 8:  # noqa: PLR2004 - a longdouble has no JSON form
        return {TAG: ["numpy", value.dtype.name, value.item()]}
    msg = f"{type_name(value)} cannot be stored; convert it to {STORABLE}"
    raise SchemaError(msg)


def _pack_ndarray(value: Any) -> list[Any]:
    if value.dtype.kind not in "biufU" or (value.dtype.itemsize > 8 and value.dtype.kind == "f"):  # noqa: PLR2004
        msg = f"an array of {value.dtype} cannot be stored in one cell; convert it to an array of numbers or a list"
        raise SchemaError(msg)
    return [value.dtype.str, list(value.shape), value.ravel().tolist()]


_PACKERS: Final[dict[type, tuple[str, Callable[[Any], list[Any]]]]] = {
    tuple: ("tuple", lambda value: [[_pack(item) for item in value]]),
    set: ("set", _pack_set),
    frozenset: ("frozenset", _pack_set),
    bytes: ("bytes", lambda value: [base64.b64encode(value).decode()]),
    Decimal: ("decimal", lambda value: [str(value)]),
    uuid.UUID: ("uuid", lambda value: [str(value)]),
    dt.datetime: ("datetime", _pack_datetime),
    dt.date: ("date", lambda value: [value.isoformat()]),
    dt.time: ("time", lambda value: [value.isoformat()]),
    dt.timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    pd.Timestamp: ("timestamp", _pack_timestamp),
    pd.Timedelta: ("pandas_timedelta", lambda value: [value.asm8.view("i8").item(), value.unit]),
    type(pd.NA): ("NA", lambda _: []),
    type(pd.NaT): ("NaT", lambda _: []),
    np.ndarray: ("ndarray", _pack_ndarray),
}


def _unpack(value: dict[str, Any]) -> Any:
    if TAG not in value:
        return value
    name, *facts = value[TAG]
    return _UNPACKERS[name](*facts)


def _unpack_datetime(text: str, zone: str | None) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    return value if zone is None else value.astimezone(ZoneInfo(zone))


def _unpack_numpy(name: str, value: Any) -> Any:
    dtype = np.dtype(name)
    return np.int64(value).view(dtype) if dtype.kind in "mM" else dtype.type(value)


def _unpack_timestamp(value: int, unit: str, zone: str | None) -> Any:
    naive = pd.Timestamp(np.int64(value).view(f"M8[{unit}]"))
    return naive if zone is None else naive.tz_localize("UTC").tz_convert(zone)


_UNPACKERS: Final[dict[str, Callable[..., Any]]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "bytes": base64.b64decode,
    "decimal": Decimal,
    "uuid": uuid.UUID,
    "datetime": _unpack_datetime,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
    "timedelta": dt.timedelta,
    "timestamp": _unpack_timestamp,
    "pandas_timedelta": lambda value, unit: pd.Timedelta(np.int64(value).view(f"m8[{unit}]")),
    "NA": lambda: pd.NA,
    "NaT": lambda: pd.NaT,
    "numpy": _unpack_numpy,
    "ndarray": lambda dtype, shape, items: np.array(items, dtype).reshape(shape),
}
