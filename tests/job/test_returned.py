"""What functions return, and what stands in the frame for it."""

from __future__ import annotations

import datetime as dt
import math
import threading
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import oqkit as oq
from tests.local import WAIT_S

DAY = dt.datetime(2024, 5, 6, 7, 8, 9, 123456)  # noqa: DTZ001 - functions return such values too
NUMBER = uuid.UUID(int=5)


class Pair(NamedTuple):
    """A function may return one."""

    stars: int
    note: str | None


@dataclass
class Rating:
    """A function may return one."""

    stars: int
    note: str | None = None


RETURNED = {
    "int": ([1, -2, 2**62], "int64"),
    "big int": ([2**70, 1, 2], object),
    "float": ([1.5, float("nan"), float("inf")], "float64"),
    "int and float": ([1, 2.5, 3], "float64"),
    "bool": ([True, False, True], "bool"),
    "str": (["a", "é\0", ""], "str"),
    "surrogate": (["\ud800", "a", "b"], object),
    "bytes": ([b"a", b"\0", b""], object),
    "decimal": ([Decimal("1.10"), Decimal("2.2"), Decimal("-3.30")], object),
    "datetime": ([DAY, DAY, DAY], "datetime64[us]"),
    "zoned datetime": ([DAY.replace(tzinfo=dt.UTC)] * 3, "datetime64[us, UTC]"),
    "date": ([DAY.date()] * 3, object),
    "timedelta": ([dt.timedelta(hours=1)] * 3, "timedelta64[us]"),
    "uuid": ([NUMBER] * 3, object),
    "list": ([[1, 2], [], [3]], object),
    "tuple": ([(1, 2), (), (3,)], object),
    "mixed": ([1, "a", None], object),
    "None": ([None, None, None], object),
    "int and None": ([1, None, 3], "Int64"),
    "bool and None": ([True, None, False], "boolean"),
    "numpy": ([np.int16(1), np.int16(2), np.int16(3)], "int16"),
    "float32": ([np.float32(1.5)] * 3, "float32"),
    "datetime64": ([np.datetime64("2024-01-01T00:00:00", "us")] * 3, "datetime64[us]"),
    "arrow": ([pa.scalar(1, pa.int8()), pa.scalar(2, pa.int8()), pa.scalar(3, pa.int8())], "int8"),
}


def _is_missing(value):
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _same(one, other):
    if _is_missing(one) or _is_missing(other):
        return _is_missing(one) and _is_missing(other)
    return bool(one == other) and type(one) is type(other)


@pytest.mark.parametrize(("values", "dtype"), RETURNED.values(), ids=RETURNED)
@pytest.mark.parametrize("part_rows", (3, 1), ids=["one part", "three parts"])
def test_result_has_the_type_of_what_was_returned(queue, start, values, dtype, part_rows):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": range(3)}), lambda x: values[x], part_rows=part_rows)
    column = job.result(WAIT_S)["lambda_"]
    assert column.dtype == dtype
    shown = [value.as_py() if isinstance(value, pa.Scalar) else value for value in values]
    assert all(map(_same, column.tolist(), pd.Series(shown, dtype=dtype).tolist()))


def test_result_has_an_array_in_each_cell_when_arrays_were_returned(queue, start):
    start()
    result = queue.submit_frame(pd.DataFrame({"x": range(3)}), lambda x: np.full(2, x, "float32")).result(WAIT_S)
    assert [(cell.dtype, cell.tolist()) for cell in result["lambda_"]] == [("float32", [x, x]) for x in (0, 1, 2)]


@pytest.mark.parametrize(
    "function",
    (
        lambda x: {"stars": x, "note": None if x == 1 else "n"},
        lambda x: Rating(stars=x, note=None if x == 1 else "n"),
        lambda x: Pair(x, None if x == 1 else "n"),
    ),
    ids=["dict", "dataclass", "namedtuple"],
)
def test_result_has_a_column_for_each_field(queue, start, function):
    start()
    result = queue.submit_frame(pd.DataFrame({"x": range(3)}), function).result(WAIT_S)
    assert result["stars"].tolist() == [0, 1, 2]
    assert result["note"].isna().tolist() == [False, True, False]
    assert list(result.columns) == ["stars", "note"]


def test_result_has_the_fields_of_all_rows_when_dicts_differ(queue, start):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": range(3)}), lambda x: {"a": x} if x else {"b": "only"}, part_rows=1)
    result = job.result(WAIT_S)
    assert sorted(result.columns) == ["a", "b"]
    assert result["a"].tolist() == [pd.NA, 1, 2]
    assert result["b"].tolist()[0] == "only"


def test_result_keeps_ints_when_some_rows_have_none(queue, start):
    def odd(x):
        if x % 2:
            return 2**60 + x
        raise oq.Skip("even")

    start()
    result = queue.submit_frame(pd.DataFrame({"x": range(4)}), odd).result(WAIT_S)
    assert result["odd"].dtype == "Int64"
    assert result["odd"].tolist() == [pd.NA, 2**60 + 1, pd.NA, 2**60 + 3]


def test_row_fails_alone_when_what_it_returned_cannot_be_stored(queue, start):
    start()
    job = queue.submit_frame(
        pd.DataFrame({"x": range(4)}, index=list("abcd")), lambda x: threading.Lock() if x == 2 else x
    )
    result = job.result(WAIT_S, errors="coerce")
    assert result["lambda_"].tolist() == [0, 1, pd.NA, 3]
    (error,) = job.errors().itertuples()
    assert (error.Index, error.row, error.type, error.attempt) == ("c", 2, "SchemaError", 1)
    assert "_thread.lock cannot be stored; convert it to" in error.message
