"""Tables of polars, Arrow and others come back as what they were."""
# ruff: noqa: DTZ001 - naive datetimes are values under test

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from oqkit.arrow.table import to_lists, to_table
from tests.arrow.roundtrip import NAN, back

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
