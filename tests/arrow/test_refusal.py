"""What a table cannot hold is refused, naming column, row and what to do."""

from __future__ import annotations

import enum

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from oqkit.arrow.table import Layout, to_table
from oqkit.errors import FormatError, SchemaError
from tests.arrow.roundtrip import array_of, objects


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


def test_layout_of_a_newer_oqkit_is_refused():
    with pytest.raises(FormatError, match="newer"):
        Layout.from_json({"backend": "pandas", "columns": ["x"], "zones": 1})
