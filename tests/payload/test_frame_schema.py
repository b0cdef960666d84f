"""Frames and their schemas: which rows do not fit, whatever the frame is made with, and what is left of a result."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pandera.polars as pandera_polars
import polars as pl
import pyarrow as pa
import pytest

from oqkit.errors import SchemaError
from oqkit.payload.frame_schema import fitting, misfit_of

INT8 = pa.schema([pa.field("x", pa.int8(), nullable=False)])
JSON = {"properties": {"x": {"type": "integer", "maximum": 127}}}
VALUES = [1, None, 300, 4]


def frames():
    table = pa.table({"x": VALUES})
    return {
        "pandas": pd.DataFrame({"x": pd.array(VALUES, "Int64")}, index=list("aabb")),
        "polars": pl.DataFrame({"x": VALUES}),
        "table": table,
        "batch": table.to_batches()[0],
        "dict": {"x": VALUES},
        "chunks": pa.concat_tables([table.slice(0, 1), table.slice(1)]),
    }


@pytest.mark.parametrize("name", frames())
@pytest.mark.parametrize("schema", (INT8, JSON), ids=("arrow", "json"))
def test_rows_that_do_not_fit_are_found_in_every_kind_of_frame(name, schema):
    found = misfit_of(schema, frames()[name])
    assert (found.whole, sorted(found.rows)) == ([], [1, 2])


@pytest.mark.parametrize("name", frames())
def test_what_fits_is_left_of_every_kind_of_frame(name):
    frame = frames()[name]
    problems, left = fitting(INT8, frame, 4)
    assert list(problems) == [2, 1] or list(problems) == [1, 2]
    assert type(left) is type(frame)
    assert misfit_of(INT8, left).rows == {}
    column = left["x"]
    assert (column.to_pylist() if hasattr(column, "to_pylist") else list(column)) == [1, 4]


@pytest.mark.parametrize(
    "values",
    ([1, 300, 4], np.array([1, 300, 4]), pd.Series([1, 300, 4]), pa.array([1, 300, 4]), pl.Series([1, 300, 4])),
    ids=type,
)
def test_what_fits_is_left_of_single_values(values):
    problems, left = fitting({"type": "integer", "maximum": 127}, values, 3)
    assert list(problems) == [1]
    assert list(left.to_pylist() if hasattr(left, "to_pylist") else left) == [1, 4]
    with pytest.raises(SchemaError, match="it has no columns"):
        fitting(INT8, values, 3)


def test_result_of_another_length_comes_back_for_the_others_to_refuse():
    assert fitting(JSON, [1, 2], 3) == ({}, [1, 2])
    assert fitting(JSON, 5, 3) == ({}, 5)


ALIKE = [
    (pa.int64(), pa.int8()),
    (pa.int64(), pa.float64()),
    (pa.string(), pa.large_string()),
    (pa.float64(), pa.float32()),
    (pa.timestamp("ns"), pa.timestamp("us")),
    (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Paris")),
    (pa.dictionary(pa.int8(), pa.string()), pa.string()),
    (pa.null(), pa.int8()),
    (pa.list_(pa.int64()), pa.large_list(pa.int8())),
]
UNALIKE = [
    (pa.int64(), pa.string()),
    (pa.string(), pa.int64()),
    (pa.float64(), pa.int64()),
    (pa.bool_(), pa.int8()),
    (pa.timestamp("us"), pa.timestamp("us", "UTC")),
    (pa.timestamp("us"), pa.date32()),
    (pa.binary(), pa.string()),
]


@pytest.mark.parametrize(("found", "wanted"), ALIKE, ids=str)
def test_type_that_can_hold_the_values_fits(found, wanted):
    table = pa.table({"x": pa.array([None], found)})
    assert misfit_of(pa.schema([("x", wanted)]), table).whole == []


@pytest.mark.parametrize(("found", "wanted"), UNALIKE, ids=str)
def test_type_of_another_kind_does_not_fit(found, wanted):
    table = pa.table({"x": pa.array([None], found)})
    (told,) = misfit_of(pa.schema([("x", wanted)]), table).whole
    assert told == f"column 'x': it is of type {found}, not {wanted} (rule 'type')"


def test_column_of_several_types_is_told_as_a_whole():
    (told,) = misfit_of(INT8, pd.DataFrame({"x": [1, "a"]})).whole
    assert "of no one type" in told


CHECK = pandera.Check.le(3)


@pytest.mark.parametrize(
    ("schema", "frame"),
    (
        (pandera.DataFrameSchema({"x": pandera.Column(int, CHECK)}), pd.DataFrame({"x": [1, 5]}, index=["a", "b"])),
        (pandera.SeriesSchema(int, CHECK), pd.Series([1, 5], index=["a", "b"])),
        (pandera_polars.DataFrameSchema({"x": pandera_polars.Column(int, pandera_polars.Check.le(3))}), pl.DataFrame({"x": [1, 5]})),
        (pandera.DataFrameSchema({"x": pandera.Column(int, CHECK)}), {"x": [1, 5]}),
    ),
    ids=("pandas", "series", "polars", "dict"),
)  # fmt: skip
def test_pandera_finds_rows(schema, frame):
    found = misfit_of(schema, frame)
    assert (found.whole, list(found.rows)) == ([], [1])
    assert "(rule 'less_than_or_equal_to(3)')" in found.rows[1][0]


def test_model_of_pandera_finds_rows_and_columns():
    class Model(pandera.DataFrameModel):
        x: int = pandera.Field(le=3)
        y: str

    found = misfit_of(Model, pd.DataFrame({"x": [1, 5]}))
    assert list(found.rows) == [1]
    assert any("y" in one for one in found.whole)


def test_labels_that_are_not_unique_leave_the_row_open():
    found = misfit_of(
        pandera.DataFrameSchema({"x": pandera.Column(int, CHECK)}), pd.DataFrame({"x": [1, 5]}, index=[7, 7])
    )
    assert (len(found.whole), found.rows) == (1, {})


def test_check_of_a_user_that_breaks_is_told_and_not_raised():
    schema = pandera.DataFrameSchema({"x": pandera.Column(int, pandera.Check(lambda column: column.nothing))})
    found = misfit_of(schema, pd.DataFrame({"x": [1, 5]}))
    assert "nothing" in str(found.whole)


def test_value_is_never_changed_by_a_check():
    frame = pd.DataFrame({"x": ["1", "2"]})
    schema = pandera.DataFrameSchema({"x": pandera.Column(int, coerce=True)})
    assert fitting(schema, frame, 2)[1] is frame
    assert frame["x"].tolist() == ["1", "2"]
