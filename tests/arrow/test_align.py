"""Pieces of values become one frame aligned with the input, in the types the function returned."""
# ruff: noqa: DTZ001 - naive datetimes are values under test

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oqkit.arrow.align import align
from oqkit.arrow.batch import encode_batch
from oqkit.arrow.value import encode_values
from oqkit.payload.output import decode_outcomes, encode_outcomes, stored_results
from tests.arrow.roundtrip import NAN

STR = pd.StringDtype(
    "pyarrow", na_value=NAN
)  # what "str" is in pandas 3; strings come back as this with pandas 2 as well


def piece(rows, values):
    """Send values through the object that a lease writes."""
    table = encode_values(values)[0] if isinstance(values, list) else encode_batch(values, len(rows))
    got = decode_outcomes(encode_outcomes(stored_results(np.arange(len(rows)), table, {})))
    return np.array(rows), got.values  # noqa: PD011 - not a frame


def assembled(*pieces, n_rows=None, index=None, backend="pandas", missing="null"):
    n_rows = sum(len(rows) for rows, _ in pieces) if n_rows is None else n_rows
    return align(pieces, n_rows=n_rows, index=index, backend=backend, name="score", missing=missing)


@pytest.mark.parametrize(
    ("values", "dtype"),
    (
        ([1, 2, 3, 4], "int64"),
        ([1.5, NAN, 3.0, 4.0], "float64"),
        ([True, False, True, True], "bool"),
        (["a", "b", "c", None], STR),
        ([1, None, 3, 4], "Int64"),
        ([True, None, True, False], "boolean"),
        ([dt.datetime(2020, 1, 1)] * 4, "datetime64[us]"),
        ([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * 4, "datetime64[us, UTC]"),
        ([dt.timedelta(1)] * 4, "timedelta64[us]"),
        ([dt.date(2020, 1, 1)] * 4, "object"),
        ([Decimal("1.5")] * 4, "object"),
        ([[1], [], [2, 3], None], "object"),
        ([(1,), (), (2, 3), None], "object"),
        ([1, "a", [2], None], "object"),
        ([np.float32(1)] * 4, "float32"),
    ),
)
def test_assemble_keeps_the_type_of_what_was_returned(values, dtype):
    got = assembled(piece([0, 1, 2], values[:3]), piece([3], values[3:]))

    expected = pd.Series(values, dtype=dtype, name="score")
    assert list(got.columns) == ["score"]
    pd.testing.assert_series_equal(got["score"], expected)
    if dtype == "object":
        assert [type(value) for value in got["score"]] == [type(value) for value in values]


def test_assemble_gives_row_i_the_value_of_input_row_i():
    index = pd.MultiIndex.from_arrays([["a", "a", "b", "b"], [1, 1, 2, 2]])

    got = assembled(piece([3, 1], ["r3", "r1"]), piece([0, 2], ["r0", "r2"]), index=index)

    pd.testing.assert_frame_equal(got, pd.DataFrame({"score": ["r0", "r1", "r2", "r3"]}, index=index, dtype=STR))


@pytest.mark.parametrize("contiguous", (True, False))
def test_assemble_fills_or_drops_rows_without_a_value(contiguous):
    rows = [1, 2] if contiguous else [3, 1]
    pieces = [piece(rows, [{"i": 10, "s": "x", "f": 0.5}, {"i": 11, "s": "y", "f": 1.5}])]
    index = pd.Index(["p", "q", "q", "s"], name="key")

    filled = assembled(*pieces, n_rows=4, index=index)
    dropped = assembled(*pieces, n_rows=4, index=index, missing="drop")

    assert filled.index.equals(index)
    assert filled.dtypes.astype(str).to_dict() == {"i": "Int64", "s": "str", "f": "float64"}
    assert filled["i"].isna().tolist() == [row not in rows for row in range(4)]
    assert dropped.dtypes.astype(str).to_dict() == {"i": "int64", "s": "str", "f": "float64"}
    pd.testing.assert_index_equal(dropped.index, index[sorted(rows)])
    pd.testing.assert_frame_equal(dropped.astype({"i": "Int64"}), filled[filled["i"].notna().to_numpy()])


@pytest.mark.parametrize("missing", ("null", "drop"))
@pytest.mark.parametrize("backend", ("pandas", "polars", "arrow"))
def test_assemble_nothing(missing, backend):
    got = assembled(n_rows=2, missing=missing, backend=backend)

    assert len(got) == (2 if missing == "null" else 0)
    assert "score" in (got.column_names if backend == "arrow" else got.columns)


def test_assemble_an_empty_frame():
    assert assembled(n_rows=0).shape == (0, 1)


@pytest.mark.parametrize(
    ("first", "second", "dtype", "values"),
    (
        ([1], [2.5], "float64", [1.0, 2.5]),
        ([None], [2], "Int64", [None, 2]),
        ([None], ["a"], "str", [None, "a"]),
        ([1], ["a"], "object", [1, "a"]),
        ([1], [True], "object", [1, True]),
        ([2**60 + 1], [0.5], "object", [2**60 + 1, 0.5]),
        ([np.int8(1)], [np.float32(2)], "float32", [1.0, 2.0]),
        ([dt.date(2020, 1, 1)], [dt.datetime(2020, 1, 1)], "object", [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)]),
        ([dt.datetime(2020, 1, 1)], [pd.Timestamp(1, unit="ns")], "datetime64[ns]", None),
        ([Decimal("1.5")], [Decimal("100.25")], "object", [Decimal("1.50"), Decimal("100.25")]),
        ([[1]], [[2.5]], "object", [[1.0], [2.5]]),
        ([[]], [[2]], "object", [[], [2]]),
        ([[1]], [["a"]], "object", [[1], ["a"]]),
        ([[1]], [(2,)], "object", [[1], (2,)]),
        ([{"a": 1}], [3], "object", [{"a": 1}, 3]),
        ([b"a"], ["a"], "object", [b"a", "a"]),
        ([1], [1, "a"], "object", [1, 1, "a"]),
        (pd.Series([1]), pd.array([None], dtype="Int64"), "Int64", [1, None]),
        (pd.Series(["a"], dtype="string"), pd.Series(["b"], dtype=STR), "string", ["a", "b"]),
        (pd.Series(["a"], dtype="category"), pd.Series(["b"], dtype="category"), "category", ["a", "b"]),
        (pd.Series([1], dtype="category"), pd.Series([2]), "int64", [1, 2]),
    ),
)
def test_assemble_unifies_types(first, second, dtype, values):
    got = assembled(piece(range(len(first)), first), piece(range(len(first), len(first) + len(second)), second))[
        "score"
    ]

    assert str(got.dtype) == dtype
    if values is not None:
        pd.testing.assert_series_equal(got, pd.Series(values, dtype=got.dtype, name="score"))
    if dtype == "object":
        assert [type(value) for value in got] == [type(value) for value in values]


def test_assemble_joins_the_categories_of_all_pieces():
    parts = [
        pd.Series(["a"], dtype=pd.CategoricalDtype(["a", "x"])),
        pd.Series(["b"], dtype=pd.CategoricalDtype(["b", "a"])),
    ]

    got = assembled(piece([0], parts[0]), piece([1], parts[1]))["score"]

    assert got.dtype == pd.CategoricalDtype(["a", "x", "b"])


def test_assemble_keeps_an_ordered_category_that_all_pieces_share():
    dtype = pd.CategoricalDtype([3, 2, 1], ordered=True)

    got = assembled(piece([1], pd.Series([1], dtype=dtype)), piece([0], pd.Series([3], dtype=dtype)), n_rows=3)["score"]

    pd.testing.assert_series_equal(got, pd.Series([3, 1, None], dtype=dtype, name="score"))


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    (
        (["low", "mid"], ["mid", "high"], ["low", "mid", "high"]),
        (["low", "mid", "high"], ["low", "high"], ["low", "mid", "high"]),
        (["low"], ["low", "mid", "high"], ["low", "mid", "high"]),
    ),
)
def test_assemble_joins_ordered_categories_whose_orders_go_together(one, other, joined):
    dtypes = [pd.CategoricalDtype(labels, ordered=True) for labels in (one, other)]
    parts = [pd.Series(dtype.categories[:1], dtype=dtype) for dtype in dtypes]

    got = assembled(piece([0], parts[0]), piece([1], parts[1]))["score"]

    assert got.dtype == pd.CategoricalDtype(joined, ordered=True)
    assert got.tolist() == [one[0], other[0]]


@pytest.mark.parametrize("other", (["mid", "low"], ["other"]))
def test_assemble_says_when_ordered_categories_lose_their_order(other):
    parts = [
        pd.Series(labels[:1], dtype=pd.CategoricalDtype(labels, ordered=True)) for labels in (["low", "mid"], other)
    ]

    with pytest.warns(UserWarning, match="whose orders do not go together"):
        got = assembled(piece([0], parts[0]), piece([1], parts[1]))["score"]

    assert got.tolist() == ["low", other[0]]


def test_assemble_fills_fields_that_a_piece_does_not_have():
    got = assembled(piece([0], [{"a": 1}]), piece([1], [{"b": "x", "a": 2}]), piece([2], [None]))

    expected = pd.DataFrame({"a": pd.array([1, 2, None], dtype="Int64"), "b": pd.Series([None, "x", None], dtype=STR)})
    pd.testing.assert_frame_equal(got, expected)


def test_assemble_does_not_pad_nested_dicts():
    got = assembled(piece([0], [{"d": {"a": 1}}]), piece([1], [{"d": {"b": 2}}]))

    assert got["d"].tolist() == [{"a": 1}, {"b": 2}]


def test_assemble_keeps_column_names_that_are_no_text():
    frames = [pd.DataFrame([[1, "a"]], columns=[0, 1]), pd.DataFrame([["b", 2.5]], columns=[1, 0])]

    got = assembled(piece([0], frames[0]), piece([1], frames[1]))

    assert got.columns.tolist() == [0, 1]
    assert got[0].tolist() == [1.0, 2.5]


def test_assemble_gives_vectors_back():
    got = assembled(piece([2, 3], np.arange(6).reshape(2, 3)), piece([0], np.ones((1, 3), int)), n_rows=4)["score"]

    assert got[3].tolist() == [3, 4, 5]
    assert got[3].dtype == np.int64
    assert got[1] is None


def test_assemble_gives_polars_back():
    got = assembled(piece([1], [{"a": 1, "m": 2}]), piece([0], [{"a": 2, "m": "x"}]), n_rows=3, backend="polars")

    assert got.equals(pl.DataFrame({"a": [2, 1, None], "m": ['"x"', "2", None]}))


def test_assemble_keeps_a_polars_enum():
    frame = pl.DataFrame({"e": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"]))})

    got = assembled(piece([1], frame[1:]), piece([0], frame[:1]), backend="polars")

    assert got.schema == frame.schema
    assert got.equals(frame)


def test_assemble_gives_arrow_back():
    got = assembled(piece([0, 1], [1, 2]), n_rows=3, backend="arrow")

    assert got.equals(pa.table({"score": [1, 2, None]}))


@pytest.mark.parametrize("rows", ([0, 0], [0, 2], [-1, 0]))
@pytest.mark.parametrize("missing", ("null", "drop"))
def test_assemble_refuses_pieces_that_overlap_or_lie_outside(rows, missing):
    with pytest.raises(ValueError, match="overlap"):
        assembled(piece(rows[:1], [1]), piece(rows[1:], [2]), n_rows=2, missing=missing)


def test_assemble_of_dicts_beside_other_values_holds_objects():
    got = assembled(piece([0, 1], [{"a": 1}, None]), piece([2], [3]))["score"]

    assert got.tolist() == [{"a": 1}, None, 3]


CELL = st.none() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=2)
VALUE = CELL | st.lists(st.integers(0, 9), max_size=2)
LISTS = st.lists(st.sampled_from([1, 2, None]) | VALUE, min_size=1, max_size=8)
DICTS = st.lists(st.dictionaries(st.sampled_from("ab"), VALUE, min_size=1) | st.none(), min_size=1, max_size=8)


@settings(max_examples=200)
@given(values=LISTS | DICTS, data=st.data())
def test_assemble_does_not_depend_on_where_leases_cut(values, data):
    whole = assembled(piece(range(len(values)), values))
    order = data.draw(st.permutations(range(len(values))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values)))) | {0, len(values)})
    pieces = [piece(order[a:b], [values[row] for row in order[a:b]]) for a, b in pairwise(cuts)]

    got = assembled(*pieces)

    assert set(got.columns) == set(whole.columns)
    pd.testing.assert_frame_equal(got[whole.columns], whole)  # an int is equal to the float it may become beside text


def test_assemble_orders_text_of_every_arrow_type():
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary_view()):
        parts = [pa.array([text], pa.string()).cast(kind) for text in ("a", "b")]

        got = assembled(piece([1], parts[0]), piece([0], parts[1]), n_rows=3, backend="arrow")

        assert got.column(0).to_pylist()[2] is None
        assert [str(text) for text in got.column(0).to_pylist()[:2]] in (["b", "a"], ["b'b'", "b'a'"])
