"""`to_table` and `to_frame`: what comes back is what went in, for every kind of column and index."""
# ruff: noqa: DTZ001, FBT003 - naive datetimes and bools are values under test

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.arrow.table import index_of, to_frame, to_lists, to_table
from tests.arrow.roundtrip import CELL, NAN, array_of, back, nested, objects, stored

PARIS = ZoneInfo("Europe/Paris")


def alike(mine, yours):
    """Compare Python values and their types all the way down; NaN is like NaN."""
    if type(mine) is not type(yours):
        return False
    if isinstance(mine, list):
        return len(mine) == len(yours) and all(map(alike, mine, yours))
    if isinstance(mine, dict):
        return mine.keys() == yours.keys() and all(alike(mine[key], yours[key]) for key in mine)
    return repr(mine) == repr(yours) or mine == yours


def same(got, expected):
    """Assert equal frames; `assert_frame_equal` alone takes None for NaN and fails on a NaN in a list."""
    is_object = (expected.dtypes == np.dtype(object)).to_numpy()
    assert (got.dtypes == np.dtype(object)).to_numpy().tolist() == is_object.tolist()
    got, expected = used(got), used(expected)
    if not is_object.all():  # a selection copies, which pandas 2 cannot do with big-endian numbers
        chosen = (frame.loc[:, ~is_object] if is_object.any() else frame for frame in (got, expected))
        pd.testing.assert_frame_equal(*chosen, check_exact=True)
    pd.testing.assert_index_equal(got.columns, expected.columns, exact=True)
    pd.testing.assert_index_equal(got.index, expected.index, exact=True)
    for place in np.flatnonzero(is_object):
        assert alike(got.iloc[:, place].tolist(), expected.iloc[:, place].tolist())


def used(frame):
    """Return a frame without the index levels that no row has, which pandas 2 compares as well."""
    index = frame.index
    return frame.set_axis(index.remove_unused_levels()) if isinstance(index, pd.MultiIndex) else frame


KINDS = {
    "int64": pd.Series([1, 2, 3]),
    "int8": pd.Series([1, 2, -3], dtype="int8"),
    "uint64": pd.Series([0, 2**64 - 1, 1], dtype="uint64"),
    "big_endian": pd.Series(np.array([1, 2, 3], ">i4")),
    "float64_nan": pd.Series([1.5, NAN, float("inf")]),
    "float32": pd.Series([1.5, NAN, 3], dtype="float32"),
    "float16": pd.Series([1.5, NAN, 3], dtype="float16"),
    "bool": pd.Series([True, False, True]),
    "Int64": pd.Series([1, None, 3], dtype="Int64"),
    "UInt8": pd.Series([1, None, 3], dtype="UInt8"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "Float64": pd.Series([1.5, None, 2], dtype="Float64"),
    "str": pd.Series(["a", None, "é"], dtype="str"),
    "string": pd.Series(["a", None, "é"], dtype="string"),
    "string_python": pd.Series(["a", None, "é"], dtype=pd.StringDtype("python")),
    "str_python": pd.Series(["a", None, "é"], dtype=pd.StringDtype("python", na_value=np.nan)),
    "object_str": objects("a", "b", None),
    "object_str_nan": objects("a", NAN, "b"),
    "object_str_NA": objects("a", pd.NA, "b"),
    "object_nan_none": objects("a", NAN, None),
    "object_int": objects(1, 2, None),
    "object_float": objects(1.0, NAN, None),
    "object_bool": objects(True, None, False),
    "object_all_none": objects(None, None, None),
    "object_int_float": objects(1, 2.5, 3),
    "object_int_str": objects(1, "a", None),
    "object_int_beyond_64_bit": objects(2**70, 1, -(2**90)),
    "object_lone_surrogate": objects("\ud800", "a", "b"),
    "object_timestamp": objects(pd.Timestamp("2020-01-01"), pd.NaT, pd.Timestamp(1, unit="ns")),
    "object_timedelta": objects(pd.Timedelta(5, "s"), None, pd.Timedelta(1, "ns")),
    "object_numpy_scalars": objects(np.float32(1.5), np.int8(3), np.datetime64("2020-01-01")),
    "datetime_far": objects(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31), None),
    "datetime_zoned": objects(dt.datetime(2020, 1, 1, tzinfo=PARIS), None, dt.datetime(2020, 7, 1, tzinfo=PARIS)),
    "datetime_two_zones": objects(dt.datetime(2020, 1, 1, tzinfo=PARIS), dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None),
    "datetime_some_zoned": objects(dt.datetime(2020, 1, 1, tzinfo=PARIS), dt.datetime(2020, 1, 1), None),
    "date": objects(dt.date(2020, 1, 1), None, dt.date(1, 1, 1)),
    "date_and_datetime": objects(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5), None),
    "time": objects(dt.time(1, 2, 3, 4), None, dt.time(0)),
    "time_zoned": objects(dt.time(1, tzinfo=dt.UTC), None, dt.time(0)),
    "timedelta_object": objects(dt.timedelta(days=1, microseconds=3), None, dt.timedelta(0)),
    "dt64_ns": pd.Series(np.array(["2020-01-01T00:00:00.000000001", "NaT", "2021"], "M8[ns]")),
    "dt64_us": pd.Series(np.array(["2020-01-01", "NaT", "2021"], "M8[us]")),
    "dt64_ms": pd.Series(np.array(["2020-01-01", "NaT", "2021"], "M8[ms]")),
    "dt64_s": pd.Series(np.array(["2020-01-01", "NaT", "2021"], "M8[s]")),
    "dt64_tz": pd.Series(pd.to_datetime(["2020-01-01", None, "2021-07-01"])).dt.tz_localize("Europe/Paris"),
    "dt64_tz_s": pd.Series(pd.to_datetime(["2020-01-01", None])).dt.tz_localize("UTC").astype("datetime64[s, UTC]"),
    "dt64_tz_fixed": pd.Series(pd.to_datetime(["2020-01-01 00:00+02:00", None, "2021-07-01 00:00+02:00"])),
    "td64_ns": pd.Series(np.array([1, "NaT", 3], "m8[ns]")),
    "td64_s": pd.Series(np.array([1, "NaT", 3], "m8[s]")),
    "period": pd.Series(pd.PeriodIndex(["2020-01", None, "2021-05"], freq="M")),
    "interval": pd.Series(pd.IntervalIndex.from_breaks([0, 1, 2, 3], closed="left")),
    "interval_missing": pd.Series(pd.arrays.IntervalArray.from_tuples([(0.0, 1.0), None, (1.0, 2.5)])),
    "category_str": pd.Series(["b", None, "a"], dtype=pd.CategoricalDtype(["z", "b", "a"])),
    "category_int": pd.Series([3, None, 1], dtype=pd.CategoricalDtype([3, 2, 1])),
    "category_ordered": pd.Series([3, 2, 1], dtype=pd.CategoricalDtype([3, 2, 1], ordered=True)),
    "category_dates": pd.Series(pd.to_datetime(["2020", "2021", "2020"])).astype("category"),
    "category_interval": pd.cut(pd.Series([1, 5, 9]), 3),
    "category_mixed": pd.Series([1, "a", (1, 2)], dtype=pd.CategoricalDtype([(1, 2), "a", 1])),
    "category_all_missing": pd.Series([None, None, None], dtype=pd.CategoricalDtype(["a"])),
    "category_empty": pd.Series([None, None, None], dtype=pd.CategoricalDtype([])),
    "decimal": objects(Decimal("1.50"), None, Decimal("-20.25")),
    "decimal_nan": objects(Decimal("1.5"), Decimal("Infinity"), None),
    "bytes": objects(b"\x00\xff", None, b""),
    "uuid": objects(uuid.UUID(int=5), None, uuid.UUID(int=2**127)),
    "list_int": array_of([1, 2], [], None),
    "list_str": array_of(["a", None], [], None),
    "list_float_nan": array_of([1.0, NAN], [], None),
    "list_mixed": array_of([1, 2.5], ["a", None], None),
    "list_nested": array_of([[1], []], [], [None, [2]]),
    "tuple": array_of((1, 2), (), None),
    "tuple_mixed": array_of((1, "a"), (), None),
    "set": array_of({1, 2}, {"a"}, None),
    "frozenset": array_of(frozenset({1, 2}), frozenset(), None),
    "dict_same_keys": array_of({"a": 1, "b": "x"}, {"a": 2, "b": None}, None),
    "dict_other_keys": array_of({"a": 1}, {"b": 2}, None),
    "dict_int_keys": array_of({1: "a"}, {2: [dt.date(2020, 1, 1)]}, None),
    "dict_empty": array_of({}, {}, None),
    "dict_with_our_tag": array_of({"$oq": 1}, {"$oq": ["tuple", []]}, None),
    "arrow_int": pd.Series([1, None, 3], dtype="int64[pyarrow]"),
    "arrow_str": pd.Series(["a", None, "b"], dtype="string[pyarrow]"),
    "arrow_decimal": pd.Series([Decimal("1.5"), None], dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
    "arrow_list": pd.Series([[1], None, []], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "arrow_timestamp_s": pd.Series([dt.datetime(2020, 1, 1), None], dtype=pd.ArrowDtype(pa.timestamp("s"))),
    "arrow_date64": pd.Series([dt.date(2020, 1, 1), None], dtype=pd.ArrowDtype(pa.date64())),
    "arrow_dictionary": pd.Series(["a", None, "a"], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
    "arrow_dictionary_int": pd.Series([1, None, 1], dtype=pd.ArrowDtype(pa.dictionary(pa.int8(), pa.int64()))),
}
ARRAYS = {
    "1d": array_of(np.array([1.0, 2.0]), np.array([3.0]), None),
    "1d_float32": array_of(np.array([1, 2], "f4"), np.array([], "f4"), np.array([3], "f4")),
    "2d_one_shape": array_of(np.arange(6).reshape(2, 3), None, np.ones((2, 3), int)),
    "2d_other_shapes": array_of(np.ones((1, 2)), np.ones((2, 1)), None),
    "other_dtypes": array_of(np.ones(2), np.ones(2, int), None),
    "str": array_of(np.array(["a", "bc"]), np.array(["d", ""], "<U2"), None),
    "no_items": array_of(np.zeros((0, 3)), np.zeros((0, 3)), None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_to_frame_returns_equal_values_and_dtypes(kind):
    df = pd.DataFrame({"x": KINDS[kind]})

    same(back(df), df)
    same(back(df, 1, 2), df.iloc[1:2])
    same(back(df.iloc[:0]), df.iloc[:0])


@pytest.mark.parametrize("kind", ARRAYS)
def test_to_frame_returns_arrays_in_cells(kind):
    df = pd.DataFrame({"x": ARRAYS[kind]})

    got = back(df)

    assert got["x"].dtype == object
    for mine, yours in zip(got["x"], df["x"], strict=True):
        assert type(mine) is type(yours)
        if yours is not None:
            assert mine.dtype == yours.dtype
            assert mine.shape == yours.shape
            np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("kind", KINDS)
def test_to_lists_shows_what_itertuples_shows(kind):
    df = pd.DataFrame({"x": KINDS[kind]})
    frame = to_table(df)

    got = to_lists(stored(frame.table), frame.layout)["x"]

    expected = [
        row.x.item() if isinstance(row.x, np.generic) and df["x"].dtype != object else row.x for row in df.itertuples()
    ]
    assert alike(got, expected)


def test_to_table_keeps_nan_apart_from_null():
    table = to_table(pd.DataFrame({"x": [1.0, NAN]})).table

    assert table.column("x").null_count == 0


INDEXES = {
    "range": pd.RangeIndex(4),
    "range_step": pd.RangeIndex(10, 2, -2, name="r"),
    "int": pd.Index([5, 3, 9, 1]),
    "duplicate": pd.Index(["a", "a", "b", "a"], name="key"),
    "float_nan": pd.Index([1.5, NAN, 2.0, NAN]),
    "datetime_freq": pd.date_range("2020", periods=4, freq="h"),
    "datetime_tz": pd.date_range("2020", periods=4, freq="D", tz="Europe/Paris", name="when"),
    "timedelta": pd.timedelta_range("1h", periods=4),
    "period": pd.period_range("2020-01", periods=4, freq="Q"),
    "categorical": pd.CategoricalIndex(["a", "b", "a", "c"], categories=["c", "b", "a"], ordered=True, name="c"),
    "interval": pd.interval_range(0, 4),
    "object": pd.Index([1, "a", None, (1, 2)], dtype=object),
    "Int64": pd.Index([1, None, 3, 4], dtype="Int64"),
    "multi": pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None]),
    "multi_duplicate": pd.MultiIndex.from_arrays(
        [["a", "a", "a", "b"], pd.to_datetime(["2020"] * 4)], names=["x", "x"]
    ),
    "multi_one_level": pd.MultiIndex.from_arrays([["a", "b", "c", "d"]], names=["x"]),
    "named_like_a_column": pd.Index([1, 2, 3, 4], name="x"),
    "named_by_tuple": pd.Index([1, 2, 3, 4], name=("a", 1)),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_to_frame_keeps_the_index(kind):
    df = pd.DataFrame({"x": [1, 2, 3, 4]}, index=INDEXES[kind])
    frame = to_table(df)

    same(back(df), df)
    same(back(df, 1, 3), df.iloc[1:3])
    same(back(df, 2, 2), df.iloc[2:2])
    assert type(back(df, 1, 3).index) is type(df.iloc[1:3].index)
    pd.testing.assert_index_equal(index_of(frame.table, frame.layout), df.index, exact=True)


@pytest.mark.parametrize("kind", INDEXES)
def test_to_frame_takes_the_numbers_of_scattered_rows(kind):
    df = pd.DataFrame({"x": [1, 2, 3, 4]}, index=INDEXES[kind])
    frame = to_table(df)
    rows = np.array([3, 0])

    got = to_frame(frame.table.take(pa.array(rows)), frame.layout, rows=rows)

    pd.testing.assert_frame_equal(got, df.iloc[rows], check_freq=False)


def test_to_table_stores_no_column_for_a_range_index():
    assert to_table(pd.DataFrame({"x": [1, 2]})).table.column_names == ["x"]


AXES = {
    "int": pd.Index([3, 1]),
    "range": pd.RangeIndex(2),
    "mixed": pd.Index([1, "1"], dtype=object),
    "bool": pd.Index([True, False]),
    "named": pd.Index(["a", "b"], name="letters"),
    "reserved": pd.Index(["oq:row", "oq:index:0"]),
    "multi": pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["x", None]),
    "strange": pd.Index(["a.b", ""]),
}


@pytest.mark.parametrize("kind", AXES)
def test_to_frame_keeps_column_names(kind):
    df = pd.DataFrame([[1, 2.5], [3, 4.5]], index=["r", "s"])
    df.columns = AXES[kind]

    same(back(df), df)


@pytest.mark.parametrize("rows", (0, 3))
@pytest.mark.parametrize("index", (None, list("abc")))
def test_to_frame_keeps_the_length_of_a_frame_without_columns(rows, index):
    df = pd.DataFrame(index=index or range(3)).iloc[:rows]

    same(back(df), df)


def test_to_table_takes_the_wanted_columns_in_their_order():
    df = pd.DataFrame({"a": [1], "b": [2j], "c": ["x"]}, index=["i"])

    same(back(df, columns=["c", "a"]), df[["c", "a"]])
    same(back(df, columns="c"), df[["c"]])


def test_to_frame_can_be_written_to():
    got = back(pd.DataFrame({"x": [1.0, 2.0], "b": [True, False], "s": ["a", "b"]}))

    got.loc[0, ["x", "b", "s"]] = [5.0, False, "c"]
    got["x"] += 1

    assert got.iloc[0].tolist() == [6.0, False, "c"]


def test_to_frame_gives_arrays_that_can_be_written_to():
    got = back(pd.DataFrame({"x": array_of(np.ones(2), np.ones(3))}))

    got["x"][0][0] = 5

    assert got["x"][0].tolist() == [5, 1]


VALUE = nested(CELL | st.decimals())


@settings(max_examples=200)
@given(
    values=st.one_of(st.lists(VALUE), *(st.lists(cell | st.none()) for cell in [st.integers(), st.text(), st.floats()]))
)
def test_to_frame_returns_any_python_objects(values):
    df = pd.DataFrame({"x": array_of(*values)})

    got = back(df)["x"].tolist()

    assert len(got) == len(values)
    assert all(map(alike, got, values))
