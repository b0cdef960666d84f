"""Python values as JSON text that comes back equal: the last resort for a column that has no single Arrow type.

What JSON has is written plainly; everything else is tagged: ``(1, 2)`` is ``{"$oq": ["tuple", [1, 2]]}``.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import reprlib
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import chain
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from oqkit.arrow import inference
from oqkit.arrow.equality import is_same
from oqkit.arrow.zone import from_zone, library_of, zone_of
from oqkit.errors import SchemaError

TAG: Final = "$oq"
#: How deep a value may be nested: what JSON readers get through everywhere.
MAX_LEVELS: Final = 100
_MAX_ENTRIES: Final = 2**24
_MAX_BITS: Final = 4096  # of an int in plain JSON: Python itself reads no more than 4,300 digits
#: What the error texts recommend.
STORABLE: Final = "numbers, text, bytes, dates, times, Decimal, UUID, arrays, and lists or dicts of them"


def dumps(value: object) -> str:
    """Write one value as JSON text (NaN and infinities as JavaScript spells them), or raise `SchemaError`."""
    check_size(value)
    packed = _pack(value)
    try:
        text = json.dumps(packed, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:
        msg = f"this {type_name(value)} cannot be stored: {error}"  # an int of more than 4,300 digits
        raise SchemaError(msg) from None
    # A lone surrogate has no form in UTF-8, but JSON has an escape for it.
    return text if inference.is_utf8(text) else json.dumps(packed, separators=(",", ":"))


def loads(text: str) -> object:
    """Read back what `dumps` wrote: equal values of equal types."""
    return json.loads(text, object_hook=_unpack)


def is_plain(value: Any) -> bool:
    """Whether `dumps` writes a value as what any reader of JSON takes it for, without tags, escapes or large numbers."""
    kind = type(value)
    if kind is list:
        return all(map(is_plain, value))
    if kind is dict:
        return (
            TAG not in value
            and all(type(key) is str and is_plain(key) for key in value)
            and is_plain([*value.values()])
        )
    if kind is str:
        return inference.is_utf8(value)
    if kind is float:
        return math.isfinite(value)
    return kind in {bool, type(None)} or (kind is int and value.bit_length() <= _MAX_BITS)


def type_name(value: object) -> str:
    """Name the type of `value` as its user knows it: ``int``, ``Color``, ``numpy.complex128``."""
    kind = type(value)
    top = str(kind.__module__).partition(".")[0]
    return kind.__qualname__ if top in {"builtins", "__main__"} else f"{top}.{kind.__qualname__}"


def show(value: object) -> str:
    """Show a value in a few words for an error text, however large, deep or unwilling it is."""
    try:
        text = _SHORT.repr(value)
    except Exception as error:  # noqa: BLE001 - the value's own code runs here
        text = f"a value whose __repr__ raises {type(error).__name__}"
    return text.encode(errors="backslashreplace").decode()


_SHORT: Final = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxother, _SHORT.maxstring, _SHORT.maxlong = 3, 60, 60, 60


class NoForm(SchemaError):
    """There is no JSON for values of this type."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.kind} cannot be stored; convert it to {STORABLE}"


def check_size(value: object) -> None:
    """Raise `SchemaError` if a value contains itself, or is too deep or too large to be written out.

    An object that is in it many times is looked at once, and counts each time.
    """
    if type(value) in _CONTAINERS:
        _measured(value, {}, 0)


def _measured(value: Any, known: dict[int, tuple[int, int]], level: int) -> tuple[int, int]:
    """Return how many entries a container has with all that is in it, and how deep it is."""
    size, height = len(value), 0
    if level >= MAX_LEVELS:
        _refuse_depth(value)
    known[id(value)] = (0, 0)  # until it is measured: only what contains itself meets that
    for item in chain(value, value.values()) if type(value) is dict else value:
        if type(item) in _CONTAINERS:
            inner = known.get(id(item)) or _measured(item, known, level + 1)
            if inner == (0, 0) and len(item):
                _refuse_depth(value)
            size, height = size + inner[0], max(height, inner[1])
    if level + height >= MAX_LEVELS:
        _refuse_depth(value)
    if size > _MAX_ENTRIES:
        msg = f"{show(value)} cannot be stored: with all that is in it, it has more than {_MAX_ENTRIES:,} entries"
        raise SchemaError(msg)
    known[id(value)] = size, height + 1
    return size, height + 1


def _refuse_depth(value: object) -> None:
    msg = f"{show(value)} cannot be stored: it contains itself or is nested too deeply (more than {MAX_LEVELS} levels)"
    raise SchemaError(msg)


def _pack(value: object) -> object:
    kind = type(value)
    if value is None or kind in {str, int, float, bool}:
        return value
    pack = _CONTAINERS.get(kind)
    if pack is not None:
        return pack(value)
    return str(value) if isinstance(value, np.str_) else _packed_leaf(value)


def _pack_list(value: Iterable[object]) -> list[object]:
    return [_pack(item) for item in value]


def _pack_dict(value: dict[Any, Any]) -> dict[str, object]:
    if TAG not in value and all(type(key) is str for key in value):
        return {key: _pack(item) for key, item in value.items()}
    return {TAG: ["dict", [[_pack(key), _pack(item)] for key, item in value.items()]]}


_CONTAINERS: Final[dict[type, Callable[[Any], Any]]] = {
    list: _pack_list,
    dict: _pack_dict,
    tuple: lambda value: {TAG: ["tuple", _pack_list(value)]},
    # Sorted by text: the order of a set differs between processes, and equal frames must give equal bytes.
    set: lambda value: {TAG: ["set", sorted(_pack_list(value), key=json.dumps)]},
    frozenset: lambda value: {TAG: ["frozenset", sorted(_pack_list(value), key=json.dumps)]},
}


# --- values that hold no others ------------------------------------------------------------------


def _packed_leaf(value: object) -> object:
    """Write a value of one of the known types, once it is seen to come back as it is."""
    kind = type(value)
    name, pack = ("numpy", _pack_numpy) if isinstance(value, np.generic) else _PACKERS.get(kind, ("", None))
    if pack is None:
        raise NoForm(type_name(value))
    facts = pack(value)
    try:
        is_kept = is_same(_UNPACKERS[name](*facts), value)
    except (ValueError, OverflowError, TypeError, KeyError):  # KeyError: zoneinfo does not know the zone
        is_kept = False
    if not is_kept:
        msg = f"{show(value)} cannot be stored as it is: it would come back as another value; convert it to {STORABLE}"
        raise SchemaError(msg)
    return {TAG: [name, *facts]}


def _pack_datetime(value: dt.datetime) -> list[object]:
    if value.tzinfo is None and not value.fold:
        return [value.isoformat(), None]
    return [value.replace(tzinfo=None).isoformat(), *_pack_zone(value)]


def _pack_time(value: dt.time) -> list[object]:
    if value.tzinfo is None and not value.fold:
        return [value.isoformat()]
    return [value.replace(tzinfo=None).isoformat(), *_pack_zone(value)]


def _pack_zone(value: dt.datetime | dt.time) -> list[object]:
    return [None if value.tzinfo is None else zone_of(value.tzinfo), value.fold]


def _pack_timestamp(value: pd.Timestamp) -> list[object]:
    facts = [value.asm8.view("i8").item(), value.unit]
    if value.tz is None:
        return [*facts, None]
    library = library_of(value.tz)
    return [*facts, zone_of(value.tz), *([] if library is None else [library])]


def _pack_numpy(value: Any) -> list[object]:
    kind = value.dtype.kind
    if kind in "mM":
        return [value.dtype.name, value.view("i8").item()]
    if kind in "biuf" and value.dtype.itemsize <= 8:  # noqa: PLR2004 - a longdouble has no JSON form
        return [value.dtype.name, value.item()]
    raise NoForm(type_name(value))


def _pack_ndarray(value: np.ndarray) -> list[object]:
    kind = value.dtype.kind
    if kind in "mM":
        return [value.dtype.str, list(value.shape), value.astype("i8").ravel().tolist()]
    if kind not in "biufU" or (value.dtype.itemsize > 8 and kind == "f"):  # noqa: PLR2004
        msg = f"an array of {value.dtype} cannot be stored in one cell; convert it to an array of numbers or a list"
        raise SchemaError(msg)
    return [value.dtype.str, list(value.shape), value.ravel().tolist()]


_PACKERS: Final[dict[type, tuple[str, Callable[[Any], list[Any]] | None]]] = {
    bytes: ("bytes", lambda value: [base64.b64encode(value).decode()]),
    Decimal: ("decimal", lambda value: [str(value)]),
    uuid.UUID: ("uuid", lambda value: [str(value)]),
    dt.datetime: ("datetime", _pack_datetime),
    dt.date: ("date", lambda value: [value.isoformat()]),
    dt.time: ("time", _pack_time),
    dt.timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    pd.Timestamp: ("timestamp", _pack_timestamp),
    pd.Timedelta: ("pandas_timedelta", lambda value: [value.asm8.view("i8").item(), value.unit]),
    type(pd.NA): ("NA", lambda _: []),
    type(pd.NaT): ("NaT", lambda _: []),
    np.ndarray: ("ndarray", _pack_ndarray),
}


def _unpack(value: dict[str, Any]) -> object:
    if TAG not in value:
        return value
    name, *facts = value[TAG]
    return _UNPACKERS[name](*facts)


def _unpack_datetime(text: str, zone: Any, fold: int | None = None) -> dt.datetime:
    value = dt.datetime.fromisoformat(text)
    if fold is None:  # by an earlier version: with the offset in the text
        return value if zone is None else value.astimezone(ZoneInfo(zone))
    return value.replace(tzinfo=None if zone is None else from_zone(zone), fold=fold)


def _unpack_time(text: str, zone: Any = None, fold: int | None = None) -> dt.time:
    value = dt.time.fromisoformat(text)
    return value if fold is None else value.replace(tzinfo=None if zone is None else from_zone(zone), fold=fold)


def _unpack_numpy(name: str, value: Any) -> object:
    dtype = np.dtype(name)
    return np.int64(value).view(dtype) if dtype.kind in "mM" else dtype.type(value)


def _unpack_ndarray(text: str, shape: list[int], items: list[object]) -> np.ndarray:
    dtype = np.dtype(text)
    flat = np.array(items, "i8").astype(dtype) if dtype.kind in "mM" else np.array(items, dtype)
    return flat.reshape(shape)


def _unpack_timestamp(value: int, unit: str, zone: Any, library: str | None = None) -> object:
    naive = pd.Timestamp(np.int64(value).view(f"M8[{unit}]"))
    if zone is None:
        return naive
    return naive.tz_localize("UTC").tz_convert(from_zone(zone, library))


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
    "time": _unpack_time,
    "timedelta": dt.timedelta,
    "timestamp": _unpack_timestamp,
    "pandas_timedelta": lambda value, unit: pd.Timedelta(np.int64(value).view(f"m8[{unit}]")),
    "NA": lambda: pd.NA,
    "NaT": lambda: pd.NaT,
    "numpy": _unpack_numpy,
    "ndarray": _unpack_ndarray,
}
