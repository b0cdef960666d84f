"""Frames that people submit, made from a number: every dtype, kind of index and kind of name."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from tests.fuzz import value as values

Make = Callable[[random.Random, int], Any]


def _objects(items: list[Any]) -> pd.Series:
    column = np.empty(len(items), object)
    for place, item in enumerate(items):
        column[place] = item
    return pd.Series(column, dtype=object)


def _of(kind: str) -> Make:
    return lambda rng, n: _objects([values.KINDS[kind](rng) if rng.random() < 0.9 else None for _ in range(n)])


def _ints(rng: random.Random, n: int) -> list[int]:
    return [rng.randrange(-(2**31), 2**31) for _ in range(n)]


def _maybe(rng: random.Random, items: list[Any]) -> list[Any]:
    return [None if rng.random() < 0.2 else item for item in items]


def _numpy(rng: random.Random, n: int) -> pd.Series:
    kind = rng.choice(("i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8", "?"))
    with np.errstate(over="ignore"):
        array = np.array(_ints(rng, n)).astype(kind)
    if array.dtype.kind == "f" and n:
        array[rng.randrange(n)] = rng.choice((np.nan, np.inf, -0.0))
    return pd.Series(array)


def _times(rng: random.Random, n: int) -> pd.Series:
    unit = rng.choice(("s", "ms", "us", "ns"))
    numbers = np.array(_ints(rng, n), "i8") * rng.choice((1, 1, {"s": 10**8, "ms": 10**6, "us": 10**3, "ns": 1}[unit]))
    if n and rng.random() < 0.5:
        numbers[rng.randrange(n)] = np.iinfo("i8").min
    return pd.Series(numbers.view(f"{rng.choice('Mm')}8[{unit}]"))


def _zoned(rng: random.Random, n: int) -> pd.Series:
    zone = rng.choice([*values.ZONES, *values.OFFSETS, *values.NAMED_ZONES])
    unit = rng.choice(("s", "ms", "us", "ns"))
    return (
        pd.Series(np.array(_ints(rng, n), "i8").view("M8[s]"))
        .dt.as_unit(unit)
        .dt.tz_localize("UTC")
        .dt.tz_convert(zone)
    )


def _category(rng: random.Random, n: int) -> pd.Series:
    labels: Any = rng.choice(
        (
            ["b", "a", "c"], [3, 1, 2], [1.5, -2.0], [dt.date(2020, 1, 1), dt.date(2019, 1, 1)], [True, False],
            pd.to_datetime(["2020", "2021"]), pd.interval_range(0, 3), pd.to_timedelta([1, 2], "h"), [(1, 2), "x"],
        )
    )  # fmt: skip
    dtype = pd.CategoricalDtype(labels, ordered=rng.random() < 0.5)
    return pd.Series(
        pd.Categorical.from_codes([rng.randrange(-1, len(dtype.categories)) for _ in range(n)], dtype=dtype)
    )


def _extension(rng: random.Random, n: int) -> pd.Series:
    kind = rng.choice(("Int8", "UInt64", "Float32", "boolean", "string", "string[python]", "int64[pyarrow]", "str"))
    items: list[Any] = {
        "b": [rng.random() < 0.5 for _ in range(n)],
        "s": [values.KINDS["text"](rng) for _ in range(n)],
    }.get(kind[0], [rng.randrange(100) for _ in range(n)])
    return pd.Series(pd.array(_maybe(rng, items), dtype=kind))


def _ranges(rng: random.Random, n: int) -> pd.Series:
    starts = [rng.randrange(100) for _ in range(n)]
    if rng.random() < 0.5:
        return pd.Series(pd.PeriodIndex.from_ordinals(starts, freq=rng.choice(("D", "M", "Y-MAR", "h"))))
    return pd.Series(pd.arrays.IntervalArray.from_arrays(starts, [start + 1 for start in starts], closed="left"))


def _refused(rng: random.Random, n: int) -> pd.Series:
    return rng.choice(
        (
            pd.Series([1j] * n),
            pd.Series(pd.arrays.SparseArray([0] * n)),
            pd.Series(np.ones(n, "longdouble")),
            _objects([object()] * n),
            _objects([{"a": {1, object()}}] * n),
        )
    )


COLUMNS: list[Make] = [
    _numpy, _times, _zoned, _category, _extension, _ranges,
    *map(_of, ("text", "date", "datetime", "zoned", "decimal", "list", "dict", "any", "int or float", "bool", "bytes",
               "stamp", "span", "datetime64", "missing", "array", "deep", "surrogate", "far", "numpy", "big int", "keys")),
]  # fmt: skip
ODD: list[Make] = [
    _refused,
    *map(_of, ("loop", "abyss", "offset", "object", "own", "huge int", "odd array", "bad zone")),
]


def _index(rng: random.Random, n: int) -> Any:
    kind = rng.randrange(8)
    if kind == 0:
        return pd.RangeIndex(10, 10 + 3 * n, 3, name="r")
    if kind == 1:
        return pd.date_range("2020", periods=n, freq="h", tz=rng.choice((None, "Europe/Paris")))
    if kind == 2:
        return pd.MultiIndex.from_arrays([[rng.choice("ab") for _ in range(n)], _ints(rng, n)], names=["k", None])
    if kind < 5:
        return pd.Index([rng.choice(("x", "y", "z")) for _ in range(n)], name=rng.choice((None, "key", 0)))
    return pd.RangeIndex(n) if kind < 7 else pd.Index(rng.sample(range(n), n))


def _label(rng: random.Random, place: int) -> Any:
    return rng.choice(
        (f"c{place}", f"c{place}", f"c{place}", place, f"é {place}", ("t", place), f"oq:{place}", f"{place}.x")
    )


def pandas_frame(seed: int, *, odd: float = 0.1) -> pd.DataFrame:
    """Return a frame of 0 to 12 rows and 1 to 4 columns; now and then a column that cannot be stored."""
    rng = random.Random(f"pandas {seed}")
    n = rng.choice((0, 1, 5, 12))
    columns = [(ODD if rng.random() < odd else COLUMNS) for _ in range(rng.randrange(1, 5))]
    made = [rng.choice(kinds)(rng, n) for kinds in columns]
    frame = pd.DataFrame(dict(enumerate(made)))
    labels = [_label(rng, place) for place in range(len(made))]
    frame.columns = (
        pd.Index(labels, dtype=object, tupleize_cols=False)
        if rng.random() < 0.5
        else [f"c{n}" for n in range(len(made))]
    )
    return frame.set_axis(_index(rng, n))


def polars_frame(seed: int) -> pl.DataFrame:
    """Return a polars frame of 0 to 12 rows and 1 to 4 columns."""
    rng = random.Random(f"polars {seed}")
    n = rng.choice((0, 1, 5, 12))
    return pl.DataFrame({f"c{place}": _polars_column(rng, n) for place in range(rng.randrange(1, 5))})


def _polars_column(rng: random.Random, n: int) -> pl.Series:
    ints = _maybe(rng, [rng.randrange(100) for _ in range(n)])
    thousands = [None if it is None else it * 1000 for it in ints]  # polars itself shows no nanoseconds
    zone = rng.choice((None, "UTC", "Europe/Paris"))
    makers: list[Callable[[], pl.Series]] = [
        lambda: pl.Series(ints, dtype=rng.choice((pl.Int8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64))),
        lambda: pl.Series([None if it is None else it > 50 for it in ints], dtype=pl.Boolean),
        lambda: pl.Series(_maybe(rng, [values.KINDS["text"](rng) for _ in range(n)]), dtype=pl.String),
        lambda: pl.Series(_maybe(rng, [values.KINDS["bytes"](rng) for _ in range(n)]), dtype=pl.Binary),
        lambda: pl.Series(thousands, dtype=pl.Int64).cast(pl.Datetime(rng.choice(("ms", "us", "ns")), zone)),
        lambda: pl.Series(thousands, dtype=pl.Int64).cast(pl.Duration(rng.choice(("ms", "us", "ns")))),
        lambda: pl.Series(ints, dtype=pl.Int32).cast(pl.Date),
        lambda: pl.Series(ints, dtype=pl.Int64).cast(pl.Time),
        lambda: pl.Series([None if it is None else "abc"[it % 3] for it in ints], dtype=pl.String).cast(
            rng.choice((pl.Categorical, pl.Enum(["c", "b", "a"])))
        ),
        lambda: pl.Series([None if it is None else [it] * (it % 3) for it in ints], dtype=pl.List(pl.Int64)),
        lambda: pl.Series([None if it is None else [it, 1] for it in ints], dtype=pl.Array(pl.Int64, 2)),
        lambda: pl.Series([{"a": it, "b": str(it)} for it in ints], dtype=pl.Struct({"a": pl.Int64, "b": pl.String})),
        lambda: pl.Series([None] * n, dtype=pl.Null),
        lambda: pl.Series(ints, dtype=pl.Decimal(20, 3)),
    ]
    return rng.choice(makers)()
