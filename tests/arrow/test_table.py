"""`to_table` and `to_frame`: what comes back is what went in, for every kind of column and index."""
# ruff: noqa: DTZ001, FBT003 - naive datetimes and bools are values under test

from __future__ import annotations

import datetime as dt
import enum
import io
import json
import subprocess
import sys
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.arrow.digest import hash_table
from oqkit.arrow.table import Frame, Layout, fingerprint, index_of, to_frame, to_lists, to_table
from oqkit.errors import FormatError, SchemaError

NAN = float("nan")
PARIS = ZoneInfo("Europe/Paris")


def stored(table):
    """Send a table through Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return pq.read_table(io.BytesIO(sink.getvalue()))


def back(df, start=0, stop=None, **options):
    frame = to_table(df, **options)
    layout = Layout.from_json(json.loads(json.dumps(frame.layout.to_json())))
    stop = frame.table.num_rows if stop is None else stop
    return to_frame(stored(frame.table.slice(start, stop - start)), layout, rows=start)


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


def objects(*values):
    return pd.Series([*values], dtype=object)


def array_of(*values):
    column = np.empty(len(values), object)
    column[:] = values
    return pd.Series(column, dtype=object)


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


class Color(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("values", "words"),
    (
        ([1j, 2j], ["complex"]),
        (pd.arrays.SparseArray([0, 1]), ["Sparse", "to_dense"]),
        (np.array([1, 2], "longdouble"), ["float128"]),
        ([1, Color.RED], ["row 1", "index 'j'", "Color"]),
        (["a", object()], ["row 1", "index 'j'", "object"]),
        ([{"a": 1}, {"b": {"c": [pd.DataFrame()]}}], ["row 1", "index 'j'", "pandas.DataFrame"]),
        ([None, np.array([1j])], ["row 1", "complex128"]),
        (objects("a", np.longdouble(1)).to_numpy(), ["row 1", "longdouble"]),
        ([lambda: 0, 1], ["row 0", "function"]),
    ),
)
def test_to_table_names_the_column_and_row_it_cannot_store(values, words):
    df = pd.DataFrame({"good": [1, 2], "bad": pd.Series(values, index=["i", "j"])}, index=["i", "j"])

    with pytest.raises(SchemaError) as caught:
        to_table(df)

    for word in ["'bad'", *words]:
        assert word in str(caught.value)


def test_to_table_refuses_a_value_that_contains_itself():
    loop: list = []
    loop.append(loop)

    with pytest.raises(SchemaError, match=r"'x', row 0.*contains itself"):
        to_table(pd.DataFrame({"x": array_of(loop, [1])}))


def test_to_table_names_the_index_level_it_cannot_store():
    with pytest.raises(SchemaError, match="index level 'key', row 1"):
        to_table(pd.DataFrame({"x": [1, 2]}, index=pd.Index([1, Color.RED], name="key")))


def test_to_table_lists_the_columns_when_one_is_unknown():
    with pytest.raises(SchemaError, match=r"no column 'y'; the frame has: 'x', 'z'"):
        to_table(pd.DataFrame({"x": [1], "z": [2]}), columns=["x", "y"])


def test_to_table_refuses_two_columns_of_one_name():
    with pytest.raises(SchemaError, match="more than one column is named 'x'"):
        to_table(pd.DataFrame([[1, 2]], columns=["x", "x"]))


def test_to_table_refuses_a_column_name_without_json_form():
    with pytest.raises(SchemaError, match="rename the column"):
        to_table(pd.DataFrame({pd.Timestamp("2020"): [1]}))


@pytest.mark.parametrize(
    ("thing", "words"),
    (
        ([1, 2], "list is not a frame"),
        (pd.Series([1]), "Series is not a frame"),
        (pl.Series([1]), r"to_frame\(\)"),
        (pl.LazyFrame({"x": [1]}), r"collect\(\)"),
        (pl.DataFrame({"x": [object()]}), "'x', row 0: polars dtype Object"),
        (pa.table({"x": pa.array([{}])}), "'x', row 0: Parquet cannot hold"),
    ),
)
def test_to_table_says_what_it_takes(thing, words):
    with pytest.raises(SchemaError, match=words):
        to_table(thing)


POLARS = {
    "int": pl.Series([1, None, 3]),
    "str": pl.Series(["a", None, "b"]),
    "float_nan": pl.Series([1.0, None, NAN]),
    "datetime": pl.Series([dt.datetime(2020, 1, 1), None], dtype=pl.Datetime("ms", "Europe/Paris")),
    "duration": pl.Series([dt.timedelta(1), None], dtype=pl.Duration("ns")),
    "time": pl.Series([dt.time(1), None]),
    "date": pl.Series([dt.date(2020, 1, 1), None]),
    "categorical": pl.Series(["a", None, "b"], dtype=pl.Categorical),
    "enum": pl.Series(["a", None, "b"], dtype=pl.Enum(["z", "b", "a"])),
    "list": pl.Series([[1], None, []]),
    "array": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2)),
    "struct": pl.Series([{"a": 1}, {"a": None}]),
    "decimal": pl.Series([Decimal("1.5"), None]),
    "null": pl.Series([None, None]),
    "binary": pl.Series([b"a", None]),
}


@pytest.mark.parametrize("kind", POLARS)
def test_to_frame_gives_polars_back(kind):
    df = pl.DataFrame({"x": POLARS[kind]})

    got = back(df)

    assert got.schema == df.schema
    assert got.equals(df)
    assert back(df, 1, 2).equals(df[1:2])


def test_to_frame_gives_arrow_back():
    table = pa.table(
        {
            "s": pa.array([1, None], pa.timestamp("s")),
            "d": pa.array([1, None]).cast(pa.int64()).dictionary_encode(),
            "oq:row": pa.array(["a", "b"]),
            "v": pa.array(["a", None], pa.string_view()),
        }
    )

    assert back(table).equals(table)
    assert back(table, columns=["oq:row"]).equals(table.select(["oq:row"]))


def test_to_table_takes_anything_with_the_arrow_capsule():
    class Relation:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table({"x": [1, 2]}).__arrow_c_stream__(requested_schema)

    assert back(Relation()).equals(pa.table({"x": [1, 2]}))


def test_to_lists_reads_polars_and_arrow_as_python_values():
    frame = to_table(pl.DataFrame({"x": [1, None], "y": ["a", "b"], "z": [[1], []]}))

    assert to_lists(frame.table, frame.layout, columns=["z", "x"]) == {"z": [[1], []], "x": [1, None]}


def test_layout_of_a_newer_oqkit_is_refused():
    with pytest.raises(FormatError, match="newer"):
        Layout.from_json({"backend": "pandas", "columns": ["x"], "zones": 1})


CELL = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=5), st.decimals(),
    st.datetimes(), st.dates(), st.times(), st.timedeltas(), st.uuids(),
)  # fmt: skip
VALUE = st.recursive(
    CELL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    values=st.one_of(st.lists(VALUE), *(st.lists(cell | st.none()) for cell in [st.integers(), st.text(), st.floats()]))
)
def test_to_frame_returns_any_python_objects(values):
    df = pd.DataFrame({"x": array_of(*values)})

    got = back(df)["x"].tolist()

    assert len(got) == len(values)
    assert all(map(alike, got, values))


# --- fingerprint ---------------------------------------------------------------------------------


def mixed(n=1000):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "f": np.where(rng.random(n) < 0.1, NAN, rng.random(n)),
            "i": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "s": [None if x % 7 == 0 else f"s{x}" for x in range(n)],
            "b": rng.random(n) < 0.5,
            "l": [[x] * (x % 3) for x in range(n)],
            "d": [{"a": x, "b": [str(x)]} if x % 5 else None for x in range(n)],
            "c": pd.Categorical([f"c{x % 3}" for x in range(n)]),
            "p": pd.period_range("2020", periods=n, freq="D"),
            "u": [uuid.UUID(int=x) for x in range(n)],
            "set": [{x, "a"} for x in range(n)],
        },
        index=pd.Index([f"i{x}" for x in range(n)], name="key"),
    )


def digest(table, layout):
    return fingerprint(Frame(table=table, layout=layout))


def test_fingerprint_is_independent_of_chunks_and_offsets():
    frame = to_table(mixed())
    cut = pa.concat_tables(
        [frame.table.slice(0, 13), frame.table.slice(13, 0), frame.table.slice(13, 500), frame.table.slice(513)]
    )
    padded = pa.concat_tables([frame.table.slice(5, 3), frame.table]).slice(3)

    assert digest(cut, frame.layout) == fingerprint(frame)
    assert digest(padded, frame.layout) == fingerprint(frame)
    assert digest(padded.combine_chunks(), frame.layout) == fingerprint(frame)


@pytest.mark.parametrize("name", mixed(2).columns)
def test_fingerprint_changes_with_one_value(name):
    one, other = mixed(50), mixed(51)
    swapped = pd.concat([other.iloc[:49], other.iloc[50:]])
    swapped = swapped.assign(
        **{it: one[it].to_numpy() if one[it].dtype == object else one[it].array for it in one if it != name}
    )
    swapped.index = one.index
    if swapped[name].iloc[-1] == one[name].iloc[-1]:
        swapped.loc[swapped.index[-1], name] = not one[name].iloc[-1] if name == "b" else one[name].iloc[-2]

    assert fingerprint(to_table(swapped)) != fingerprint(to_table(one))


@pytest.mark.parametrize(
    "change",
    (
        lambda df: df.rename(columns={"f": "g"}),
        lambda df: df.rename_axis(index="other"),
        lambda df: df.iloc[::-1],
        lambda df: df.reset_index(drop=True),
        lambda df: df.astype({"i": "int64"}),
        lambda df: df[["i", "f"]],
        lambda df: df.iloc[:0],
        lambda df: df.fillna({"f": 0.0}),
        lambda df: df.assign(f=df["f"].where(df["f"].notna(), None).astype(object)),
    ),
)
def test_fingerprint_changes_with_names_types_order_and_index(change):
    df = mixed(50)[["f", "i"]]

    assert fingerprint(to_table(change(df))) != fingerprint(to_table(df))


@pytest.mark.parametrize("one_null", ([None, "ab"], ["ab", None]))
def test_fingerprint_tells_null_from_empty_and_shifted_text(one_null):
    digests = {
        fingerprint(to_table(pd.DataFrame({"x": pd.array(values, dtype="str")})))
        for values in (one_null, ["", "ab"], ["a", "b"], ["ab", ""])
    }

    assert len(digests) == 4


def test_fingerprint_ignores_what_lies_under_a_null():
    tables = [pa.table({"x": pa.array(np.array([1, hidden]), mask=np.array([False, True]))}) for hidden in (2, 3)]

    assert hash_table(tables[0]) == hash_table(tables[1])


@pytest.mark.parametrize(
    ("one", "other"),
    (
        ([[1], [2, 3]], [[1, 2], [3]]),
        ([[1], None], [[1], []]),
        ([None], [None, None]),
        ([{"a": None}], [None]),
        ([(1, 2)], [[1, 2]]),
        ([1], [True]),
        ([1], [1.0]),
        ([True, False], [False, True]),
    ),
)
def test_fingerprint_tells_like_columns_apart(one, other):
    digests = {hash_table(to_table(pd.DataFrame({"x": array_of(*values)})).table) for values in (one, other)}

    assert len(digests) == 2


def test_fingerprint_tells_a_number_from_text_as_column_name():
    frames = [pd.DataFrame([[1]], columns=pd.Index([name], dtype=object)) for name in (1, "1")]

    assert fingerprint(to_table(frames[0])) != fingerprint(to_table(frames[1]))


def test_fingerprint_is_the_same_in_another_process():
    code = (
        "import pandas as pd; from oqkit.arrow.table import *; "
        "print(fingerprint(to_table(pd.DataFrame({'x': [{'b', 'a', 'c', 'd'}, {1}], 'y': ['u', 'v']}, index=['i', 'j']))))"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1
