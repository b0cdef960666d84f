"""What functions return comes back as it was: rows, scalars and whole batches."""
# ruff: noqa: DTZ001, FBT003 - naive datetimes and bools are values under test

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.arrow.batch import encode_batch
from oqkit.arrow.value import decode_values, encode_values
from oqkit.errors import SchemaError
from tests.arrow.roundtrip import CELL, NAN, nested, stored


def back(values):
    table, problems = encode_values(values)
    assert not problems
    assert table.num_rows == len(values)
    return decode_values(stored(table))


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


SCALARS = {
    "int": ([1, None, -(2**63)], pa.int64()),
    "float": ([1.5, NAN, None, float("inf")], pa.float64()),
    "bool": ([True, None], pa.bool_()),
    "str": (["a", None, ""], pa.large_string()),
    "bytes": ([b"\x00", None], pa.large_binary()),
    "datetime": ([dt.datetime(2020, 1, 1, 5), None], pa.timestamp("us")),
    "datetime_zoned": ([dt.datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Paris"))], pa.timestamp("us", "Europe/Paris")),
    "date": ([dt.date(2020, 1, 1), None], pa.date32()),
    "time": ([dt.time(5, 6, 7, 8), None], pa.time64("us")),
    "timedelta": ([dt.timedelta(1, 2, 3), None], pa.duration("us")),
    "uuid": ([uuid.UUID(int=1), None], pa.uuid()),
    "decimal": ([Decimal("1.50"), Decimal("2.25"), None], pa.decimal128(3, 2)),
    "list": ([[1, 2], [], None], pa.large_list(pa.int64())),
    "list_nested": ([[["a"], []], [], None], pa.large_list(pa.large_list(pa.large_string()))),
    "list_dicts": ([[{"a": 1}], [], None], pa.large_list(pa.struct([("a", pa.int64())]))),
    "tuple": ([(1, 2), (), None], pa.large_list(pa.int64())),
    "none": ([None, None], pa.null()),
    "int_str": ([1, "a", None], pa.large_string()),
    "bool_int": ([True, 1], pa.large_string()),
    "int_beyond_64_bit": ([2**64, 1], pa.large_string()),
    "int_float_that_no_float_holds": ([2**60 + 1, 0.5], pa.large_string()),
    "lone_surrogate": (["\ud800", "a"], pa.large_string()),
    "set": ([{1}, {2, 3}], pa.large_string()),
    "list_mixed": ([[1, "a"], [2.5]], pa.large_string()),
    "dict_and_scalar": ([{"a": 1}, 2], pa.large_string()),
    "dict_int_keys": ([{1: 2}, {3: 4}], pa.large_string()),
    "dict_empty": ([{}, {}], pa.large_string()),
    "dict_reserved_key": ([{"oq:row": 1}], pa.struct([("oq:row", pa.int64())])),
    "zones": ([dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1)], pa.large_string()),
    "decimal_nan": ([Decimal(1), Decimal("Infinity")], pa.large_string()),
    "empty": ([], pa.null()),
}


@pytest.mark.parametrize("kind", SCALARS)
def test_encode_values_keeps_values_and_their_types(kind):
    values, arrow = SCALARS[kind]

    got = back(values)

    table = encode_values(values)[0]
    assert table.column_names == ["value"]
    assert table.schema.metadata[b"oq.kind"] == b"scalar"
    assert table.schema.field(0).type == arrow
    assert [type(value) for value in got] == [type(value) for value in values]
    assert repr(got) == repr(values)


def test_times_of_a_zone_are_times_in_any_environment(monkeypatch):
    """pandera sets this variable for pyspark, and pyarrow reads it."""
    monkeypatch.setenv("PYARROW_IGNORE_TIMEZONE", "1")
    test_encode_values_keeps_values_and_their_types("datetime_zoned")
    given = [{"when": [dt.datetime(2020, 7, 1, 5, tzinfo=ZoneInfo("Europe/Paris"))]}]
    assert repr(back(given)) == repr(given)


@pytest.mark.parametrize(
    ("values", "arrow", "expected"),
    (
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([np.float64(1), 2.0, NAN], pa.float64(), [1.0, 2.0, NAN]),
        ([np.float32(1.5), None], pa.float32(), [1.5, None]),
        ([np.int8(1), np.int8(2)], pa.int8(), [1, 2]),
        ([np.int8(1), 300], pa.int64(), [1, 300]),
        ([np.uint64(2**64 - 1)], pa.uint64(), [2**64 - 1]),
        ([np.bool_(True), False], pa.bool_(), [True, False]),
        ([np.str_("a"), "b"], pa.large_string(), ["a", "b"]),
        ([pd.NA, 1], pa.int64(), [None, 1]),
        ([pd.NaT, dt.datetime(2020, 1, 1)], pa.timestamp("us"), [None, dt.datetime(2020, 1, 1)]),
        ([pd.Timestamp(1, unit="ns"), dt.datetime(2020, 1, 1)], pa.timestamp("ns"), None),
        ([pd.Timestamp("2020")], pa.timestamp("us"), [dt.datetime(2020, 1, 1)]),
        ([pd.Timestamp("2020", tz="UTC"), None], pa.timestamp("us", "UTC"), None),
        ([np.datetime64("2020-01-01"), None], pa.timestamp("us"), [dt.datetime(2020, 1, 1), None]),
        ([np.datetime64(5, "ns"), None], pa.timestamp("ns"), None),
        ([np.timedelta64(5, "s"), None], pa.duration("us"), [dt.timedelta(seconds=5), None]),
        ([np.timedelta64(5, "ns"), None], pa.duration("ns"), None),
        ([[np.timedelta64(5, "ns")]], pa.large_string(), [[np.timedelta64(5, "ns")]]),
        ([np.timedelta64("NaT", "s"), np.timedelta64(1, "D")], pa.duration("us"), [None, dt.timedelta(1)]),
        ([np.timedelta64(5, "s"), 1], pa.large_string(), None),
        ([np.timedelta64(5, "s"), dt.timedelta(1)], pa.duration("us"), [dt.timedelta(seconds=5), dt.timedelta(1)]),
        ([pa.scalar(1, pa.int16()), None], pa.int16(), [1, None]),
        ([pa.scalar("a"), pa.scalar(1)], pa.large_string(), ["a", 1]),
        ([[np.float64(1), 2.0]], pa.large_list(pa.float64()), [[1.0, 2.0]]),
        ([OrderedDict({1: np.int8(2)})], pa.large_string(), [{1: 2}]),
    ),
)
def test_encode_values_gives_foreign_scalars_their_arrow_type(values, arrow, expected):
    table, problems = encode_values(values)

    assert not problems
    assert table.schema.field(0).type == arrow
    if expected is not None:
        assert repr(decode_values(stored(table))) == repr(expected)


def test_encode_values_keeps_nan_apart_from_none():
    assert encode_values([NAN, None, 1.0])[0].column(0).null_count == 1


@pytest.mark.parametrize(
    "values",
    (
        [np.array([1.0, 2.0]), np.array([]), None],
        [np.arange(6, dtype="f4").reshape(2, 3), None],
        [np.ones(2), np.ones(2, "i8")],
    ),
)
def test_encode_values_gives_arrays_back(values):
    for mine, yours in zip(back(values), values, strict=True):
        assert type(mine) is type(yours)
        if yours is not None:
            assert mine.dtype == yours.dtype
            np.testing.assert_array_equal(mine, yours)


@dataclass
class Point:
    x: int
    y: float


class Model(pydantic.BaseModel):
    x: int
    y: float


class Pair(NamedTuple):
    x: int
    y: float


@pytest.mark.parametrize(
    "make",
    (Point, Pair, lambda x, y: Model(x=x, y=y), lambda x, y: {"x": x, "y": y}, lambda x, y: OrderedDict(x=x, y=y)),
)
def test_encode_values_makes_a_column_of_each_field(make):
    table, problems = encode_values([make(1, 2.5), None, make(3, 4.5)])

    assert not problems
    assert table.schema.metadata[b"oq.kind"] == b"columns"
    assert table.schema.equals(pa.schema([("x", pa.int64()), ("y", pa.float64())]))
    assert decode_values(stored(table)) == [{"x": 1, "y": 2.5}, {"x": None, "y": None}, {"x": 3, "y": 4.5}]


def test_encode_values_fills_missing_fields_with_null_in_order_of_appearance():
    table, _ = encode_values([{"b": 1}, {"a": "x", "b": 2}, Pair(1, 2)])

    assert table.column_names == ["b", "a", "x", "y"]
    assert decode_values(table)[0] == {"b": 1, "a": None, "x": None, "y": None}


def test_encode_values_keeps_nested_dicts_as_they_are():
    values = [{"a": {"k": 1}}, {"a": {"l": [Point(1, 2.0)]}}]

    assert back(values) == [{"a": {"k": 1}}, {"a": {"l": [{"x": 1, "y": 2.0}]}}]


@pytest.mark.parametrize("bad", (object(), Color.RED, Level.LOW, 1j, lambda: 0, pd.DataFrame(), {"a": [object()]}))
def test_encode_values_keeps_the_others_when_one_cannot_be_stored(bad):
    table, problems = encode_values([1, bad, 3])

    assert list(problems) == [1]
    assert "cannot be stored" in problems[1]
    assert table.schema.field(0).type == pa.int64()
    assert decode_values(table) == [1, None, 3]


def test_encode_values_names_the_type_that_cannot_be_stored():
    assert "Color cannot be stored" in encode_values([Color.RED])[1][0]


def test_encode_values_makes_the_whole_row_null_when_one_field_cannot_be_stored():
    table, problems = encode_values([{"a": 1, "b": 2}, {"a": 3, "b": object()}])

    assert list(problems) == [1]
    assert problems[1].startswith("field 'b': object cannot be stored")
    assert table.schema.equals(pa.schema([("a", pa.int64()), ("b", pa.int64())]))
    assert decode_values(table) == [{"a": 1, "b": 2}, {"a": None, "b": None}]


VALUE = nested(CELL)


def alike(mine, yours):
    if isinstance(yours, dict) and isinstance(mine, dict):
        return all(alike(mine.get(key), value) for key, value in yours.items()) and all(
            mine[key] is None for key in mine.keys() - yours.keys()
        )
    if isinstance(yours, list) and isinstance(mine, list):
        return len(mine) == len(yours) and all(map(alike, mine, yours))
    return repr(mine) == repr(yours) or mine == yours


@settings(max_examples=200)
@given(
    values=st.one_of(st.lists(VALUE), st.lists(st.dictionaries(st.sampled_from("abc"), VALUE) | st.none(), min_size=1))
)
def test_encode_values_gives_any_values_back(values):
    for mine, yours in zip(back(values), values, strict=True):
        assert alike(mine, yours) or (yours is None and set(mine.values()) == {None})


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    (
        pd.Series([1.5, NAN]),
        pd.Series(["a", "b"], index=[7, 8]),
        pd.Index([1, 2]),
        pd.array([1, None], dtype="Int64"),
        pd.Categorical(["a", "b"]),
        np.array([1, 2]),
        np.ones((2, 3)),
        np.ones((2, 3, 4), "f4"),
        [1, 2],
        ("a", None),
        pl.Series([1, 2]),
        pa.array([1, 2]),
        pa.chunked_array([[1], [2]]),
    ),
    ids=lambda result: type(result).__name__,
)
def test_encode_batch_of_one_thing_a_row_is_scalar(result):
    table = encode_batch(result, 2)

    assert table.schema.metadata[b"oq.kind"] == b"scalar"
    assert table.column_names == ["value"]
    got = decode_values(stored(table))
    for mine, yours in zip(got, list(result), strict=True):
        plain = yours.as_py() if isinstance(yours, pa.Scalar) else yours
        np.testing.assert_equal(mine, None if plain is pd.NA else plain)


@pytest.mark.parametrize(
    "result",
    (
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=[9, 9]),
        {"a": [1, 2], "b": np.array(["x", "y"])},
        {"a": pd.Series([1, 2], index=[3, 4]), "b": pd.Series(["x", "y"])},
        pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}),
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    ),
    ids=lambda result: type(result).__name__,
)
def test_encode_batch_of_a_frame_has_columns(result):
    table = encode_batch(result, 2)

    assert table.schema.metadata[b"oq.kind"] == b"columns"
    assert decode_values(stored(table)) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_encode_batch_takes_a_column_of_vectors():
    table = encode_batch({"v": np.arange(6).reshape(2, 3)}, 2)

    assert [row["v"].tolist() for row in decode_values(stored(table))] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("result", (pd.Series([1]), pd.DataFrame({"a": [1]}), [1], np.ones((1, 2)), {"a": [1]}))
def test_encode_batch_says_how_many_rows_it_expected(result):
    with pytest.raises(SchemaError, match="each of its 2 rows, but returned 1"):
        encode_batch(result, 2)


@pytest.mark.parametrize(
    ("result", "words"),
    (
        (None, "returned NoneType"),
        (1.5, "returned float"),
        ("ab", "returned str"),
        (np.float64(1), "returned numpy.float64"),
        (np.array(1), "returned numpy.ndarray"),
        (iter([1, 2]), "returned list_iterator"),
        ({"a": 1, "b": 2}, "dict, but not of columns of one length"),
        ({"a": [1, 2], "b": [1]}, "'b': 1"),
        (pd.DataFrame(index=[1, 2]), "without columns"),
        (pd.DataFrame({"a": [1, object()]}), "'a', row 1"),
        (pd.Series([1, object()]), "row 1: object cannot be stored"),
        (np.array([1j, 2]), "complex"),
        (np.ones((2, 2)) * 1j, "complex"),
        ([1, object()], "row 1: object cannot be stored"),
        (pl.LazyFrame({"a": [1, 2]}), "LazyFrame"),
    ),
)
def test_encode_batch_says_what_it_got(result, words):
    with pytest.raises(SchemaError, match=words):
        encode_batch(result, 2)
