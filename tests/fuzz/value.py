"""Values that functions return, made from a number: the same number gives the same value, in any process."""
# ruff: noqa: DTZ001, DTZ901, RUF001 - nothing is secret; naive datetimes and odd letters are under test

from __future__ import annotations

import collections
import datetime as dt
import enum
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic

Kind = Callable[[random.Random], Any]

ZONES = [dt.UTC, *map(ZoneInfo, ("Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"))]
NAMED_ZONES = ["Europe/Paris", "Australia/Lord_Howe", "+05:45", "UTC"]
"""For pandas, of which pandas 2 makes zones of pytz."""
OFFSETS = [dt.timezone(dt.timedelta(seconds=n)) for n in (3600, -19800, 3723, 1)] + [
    dt.timezone(dt.timedelta(hours=1), "CET"),
    dateutil.tz.tzutc(),
    dateutil.tz.tzoffset(None, 7200),
    dateutil.tz.gettz("Europe/Paris"),
]
UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs")


@dataclass
class Point:
    """A row of two fields."""

    x: Any
    y: Any


class Pair(NamedTuple):
    """The same as a tuple."""

    x: Any
    y: Any


class Model(pydantic.BaseModel):
    """The same as a model."""

    x: int
    y: list[float]


class Color(enum.Enum):
    """Of no type that is stored."""

    RED = 1


class Level(enum.IntEnum):
    """An int that is none."""

    LOW = 1


class Text(str):
    """A str that is none."""

    __slots__ = ()


class Grudging(Mapping[str, Any]):
    """A mapping that nobody can read."""

    def __getitem__(self, key: str) -> Any:
        raise SystemExit(key)

    def __iter__(self) -> Iterator[str]:
        raise GeneratorExit

    def __len__(self) -> int:
        return 1


class Mute:
    """An object that cannot even be shown."""

    def __repr__(self) -> str:
        raise SystemExit("never")

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise KeyboardInterrupt


@dataclass
class Broken:
    """A dataclass whose field raises."""

    x: int

    def __getattribute__(self, name: str) -> Any:
        if name == "x":
            raise RuntimeError("\ud800" * 3)
        return super().__getattribute__(name)


class Zone(dt.tzinfo):
    """A zone that cannot be asked."""

    def utcoffset(self, _: Any) -> dt.timedelta:
        raise MemoryError

    dst = utcoffset

    def tzname(self, _: Any) -> str:
        raise MemoryError


# --- values that must come back ------------------------------------------------------------------


def _int(rng: random.Random) -> int:
    return rng.choice((rng.randrange(-9, 9), rng.randrange(-(2**63), 2**63), 2**63 - 1, -(2**63)))


def _float(rng: random.Random) -> float:
    return rng.choice(
        (0.0, -0.0, float("nan"), float("inf"), rng.uniform(-1e9, 1e9), 5e-324, 1.7e308, float(_int(rng)))
    )


def _text(rng: random.Random) -> str:
    return "".join(rng.choice('ab\x00é\u2028𝕏\n"\\$') for _ in range(rng.randrange(6)))


def _date(rng: random.Random) -> dt.date:
    return dt.date.fromordinal(rng.choice((1, dt.date.max.toordinal(), rng.randrange(700_000, 760_000))))


def _datetime(rng: random.Random) -> dt.datetime:
    micro = rng.choice((0, 1, rng.randrange(10**6)))
    day = _date(rng)
    return dt.datetime(
        day.year, day.month, day.day, rng.randrange(24), rng.randrange(60), 0, micro, fold=rng.randrange(2)
    )


def _zoned(rng: random.Random) -> dt.datetime:
    """Return a moment, often in the hour that a zone's clocks leave out or show twice."""
    month, day = rng.choice(((3, 29), (10, 25), (3, 8), (11, 1), (4, 5), (10, 4), (7, 1)))
    hour, minute = rng.randrange(4), rng.randrange(60)
    return dt.datetime(2020, month, day, hour, minute, fold=rng.randrange(2), tzinfo=rng.choice(ZONES))


def _decimal(rng: random.Random) -> Decimal:
    digits = tuple(rng.randrange(10) for _ in range(rng.choice((1, 5, 30, 90))))
    return Decimal((rng.randrange(2), digits, rng.choice((0, -2, -30, 3, 400))))


def _bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(5))


def _numpy(rng: random.Random) -> Any:
    kind = rng.choice(("i1", "i8", "u8", "f2", "f4", "f8", "?"))
    return (
        np.frombuffer(rng.randbytes(8), "u1").view("i8").astype(kind)[0] if kind != "f2" else np.float16(rng.random())
    )


def _array(rng: random.Random) -> Any:
    kind = rng.choice(("i4", ">i4", "f8", "?", "U3", "M8[s]", "m8[ns]"))
    shape = rng.choice(((2,), (0,), (2, 2), ()))
    return np.array([rng.randrange(2**31) for _ in range(int(np.prod(shape)))]).reshape(shape).astype(kind)


def _stamp(rng: random.Random) -> Any:
    unit = rng.choice(("s", "ms", "us", "ns"))
    stamp = pd.Timestamp(np.datetime64(rng.randrange(-(10**9), 9 * 10**9), "s")).as_unit(unit)
    return stamp if rng.random() < 0.5 else stamp.tz_localize("UTC").tz_convert(rng.choice([*ZONES, *NAMED_ZONES]))


def _far(rng: random.Random) -> Any:
    return pd.Timestamp(np.datetime64(rng.choice((1, -1)) * rng.randrange(2**38, 2**60), "s"))


def _span(rng: random.Random) -> Any:
    return rng.choice(
        (
            dt.timedelta(rng.randrange(-(10**4), 10**4), rng.randrange(10**5), rng.randrange(10**6)),
            dt.timedelta.max,
            dt.timedelta.min,
            pd.Timedelta(rng.randrange(-(10**15), 10**15), "us"),
            pd.Timedelta(np.timedelta64(rng.randrange(2**40), "s")),
            np.timedelta64(rng.randrange(10**6), rng.choice(("D", "h", "s", "ms", "ns"))),
        )
    )


def _datetime64(rng: random.Random) -> Any:
    return np.datetime64(rng.choice((rng.randrange(10**4), rng.randrange(2**62))), rng.choice(UNITS[:10]))


def _missing(rng: random.Random) -> Any:
    return rng.choice(
        (None, pd.NA, pd.NaT, np.datetime64("NaT"), np.datetime64("NaT", "s"), np.timedelta64("NaT", "ns"))
    )


def _list(rng: random.Random) -> list[Any]:
    kind = rng.choice((_int, _float, _text, _zoned, _decimal, _any))
    return [kind(rng) for _ in range(rng.randrange(4))]


def _dict(rng: random.Random) -> dict[Any, Any]:
    return {key: _any(rng) for key in rng.sample(("a", "b", "$oq", "oq:row", "é", "\ud800"), rng.randrange(4))}


def _keys(rng: random.Random) -> dict[Any, Any]:
    return {rng.choice((1, "1", None, (1, 2), 2.5, b"k", dt.date(2020, 1, 1))): _any(rng) for _ in range(3)}


def _row(rng: random.Random) -> dict[str, Any]:
    return {"a": _int(rng), "b": _text(rng), "c": _list(rng)}


def _point(rng: random.Random) -> Any:
    return rng.choice((Point, Pair))(_int(rng), _text(rng))


def _any(rng: random.Random) -> Any:
    return rng.choice(NESTED)(rng)


def _deep(rng: random.Random) -> Any:
    value: Any = _int(rng)
    for _ in range(rng.randrange(1, 40)):
        value = [value] if rng.random() < 0.7 else {"k": value}
    return value


NESTED: list[Kind] = [
    _int, _float, _text, _bytes, _date, _datetime, _zoned, _decimal, _list, _dict,
    lambda rng: None,
    lambda rng: rng.random() < 0.5,
    lambda rng: tuple(_list(rng)),
    lambda rng: {_int(rng), _text(rng), (1, "a")},
    lambda rng: frozenset({_text(rng)}),
    lambda rng: uuid.UUID(int=rng.getrandbits(128)),
    lambda rng: _datetime(rng).time(),
    lambda rng: _zoned(rng).timetz(),
]  # fmt: skip

STORED: dict[str, Kind] = {
    "int": _int, "float": _float, "text": _text, "bytes": _bytes, "date": _date, "datetime": _datetime,
    "zoned": _zoned, "decimal": _decimal, "numpy": _numpy, "array": _array, "stamp": _stamp, "far": _far,
    "span": _span, "datetime64": _datetime64, "missing": _missing, "list": _list, "dict": _dict, "keys": _keys,
    "row": _row, "point": _point, "any": _any, "deep": _deep,
    "bool": lambda rng: rng.random() < 0.5,
    "int or float": lambda rng: rng.choice((_int, _float))(rng),
    "big int": lambda rng: rng.choice((1, -1)) * rng.getrandbits(rng.choice((64, 200, 3000))),
    "surrogate": lambda rng: rng.choice(("\ud800", ["\udfff"], {"\ud800": 1}, {"a": "\ud800"})),
    "model": lambda rng: Model(x=rng.randrange(9), y=[rng.random()]),
    "time": lambda rng: rng.choice((_datetime(rng).time(), _zoned(rng).timetz())),
    "nested point": lambda rng: [_point(rng), {"k": _point(rng)}],
    "edge of time": lambda rng: rng.choice((dt.datetime.max, dt.datetime.min)).replace(tzinfo=rng.choice([None, *ZONES])),
}  # fmt: skip


# --- values that may be refused, but never changed -----------------------------------------------


def _loop(rng: random.Random) -> Any:
    loop: list[Any] = [1]
    loop.append(rng.choice((loop, {"k": loop}, (loop, loop))))
    return loop


def _bomb(rng: random.Random) -> Any:
    value: Any = [1]
    for _ in range(rng.choice((30, 60))):
        value = [value] * rng.choice((2, 10))
    return value


def _abyss(rng: random.Random) -> Any:
    value: Any = ()
    for _ in range(rng.choice((101, 500, 900))):
        value = (value,) if rng.random() < 0.5 else [value]
    return value


ODD: dict[str, Kind] = {
    "ordered dict": lambda rng: collections.OrderedDict(_row(rng)),
    "arrow scalar": lambda rng: pa.scalar(rng.choice((1, "a", None, 2.5, [1], dt.datetime(2020, 1, 1)))),
    "loop": _loop,
    "bomb": _bomb,
    "abyss": _abyss,
    "offset": lambda rng: _datetime(rng).replace(tzinfo=rng.choice(OFFSETS)),
    "bad zone": lambda rng: _datetime(rng).replace(tzinfo=Zone()),
    "datetime64 of any unit": lambda rng: np.datetime64(rng.randrange(-(2**62), 2**62), rng.choice(UNITS)),
    "timedelta64 of any unit": lambda rng: np.timedelta64(rng.randrange(-(2**62), 2**62), rng.choice(UNITS)),
    "huge int": lambda rng: 10**5000,
    "object": lambda rng: rng.choice((object(), len, int, ..., range(3), bytearray(b"a"), slice(1), ValueError("x"), 1j)),
    "own": lambda rng: rng.choice((Color.RED, Level.LOW, Text("a"), Grudging(), Mute(), Broken(1), [Mute()], {"a": Grudging()})),
    "odd array": lambda rng: rng.choice(
        (
            np.array([1, "a"], object), np.array([1j]), np.zeros(2, [("a", "i4")]), np.array(["2020"], "M8[Y]"),
            np.ma.array([1, 2], mask=[0, 1]), np.array([1.5], "longdouble"), np.array(["\ud800"]), np.array([b"a"]),
            np.longdouble(1.5), np.bytes_(b"a"), np.zeros(1, [("a", "i4")])[0],
        )
    ),
    "pandas": lambda rng: rng.choice(
        (pd.Series([1]), pd.DataFrame({"a": [1]}), pd.Interval(0, 1), pd.Period("2020"), pd.offsets.Day(1), pd.Index([1]))
    ),
    "arrow": lambda rng: rng.choice(
        (
            pa.scalar({}, pa.struct([])), pa.scalar(5, pa.timestamp("s")), pa.scalar(2**62, pa.timestamp("s")),
            pa.scalar((1, 2, 3), pa.month_day_nano_interval()), pa.scalar(1, pa.date64()), pa.array([1]),
            pa.scalar([("a", 1)], pa.map_(pa.string(), pa.int64())), pa.scalar("a").cast(pa.string_view()),
        )
    ),
    "many fields": lambda rng: {f"f{rng.randrange(10**9)}": 1 for _ in range(200)},
}  # fmt: skip

OF_CLASSES = {"point", "model", "nested point"}
"""Rows of fields; in a column of objects they are refused."""
KINDS = {**STORED, **ODD}
NAMES = list(KINDS)


def make(kind: str, seed: int) -> Any:
    """Return the value of a number; of kind ``mixed`` any of them."""
    rng = random.Random(f"{kind} {seed}")
    return KINDS[rng.choice(NAMES) if kind == "mixed" else kind](rng)
