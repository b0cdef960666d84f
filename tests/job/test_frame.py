"""`submit_frame` and the frame that comes back: rows, columns and types."""

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
import polars as pl
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal

import oqkit as oq
from oqkit.errors import SchemaError, UsageError, WaitTimeout
from tests.local import WAIT_S, keys_in

INDEXES = {
    "default": pd.RangeIndex(7),
    "range": pd.RangeIndex(10, 24, 2, name="even"),
    "named": pd.Index(list("gfedcba"), name="letter"),
    "duplicate": pd.Index([3, 3, 1, 1, 1, 2, 3], name="n"),
    "multi": pd.MultiIndex.from_arrays([[1, 1, 1, 2, 2, 2, 2], list("aabbccc")], names=["n", None]),
    "datetime": pd.date_range("2024-03-30", periods=7, freq="D", tz="Europe/Paris", name="day"),
    "category": pd.CategoricalIndex(list("abcabca")),
    "gaps": pd.Index([0.5, np.nan, 2.0, np.nan, -1.0, 1.0, 7.0]),
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_result_has_the_index_of_the_frame(queue, start, index):
    start()
    df = pd.DataFrame({"x": np.arange(7) * 10}, index=index)
    job = queue.submit_frame(df, lambda x: x + 1, part_rows=2)
    expected = pd.DataFrame({"lambda_": df["x"] + 1}, index=index)
    assert_frame_equal(job.result(WAIT_S), expected)
    assert_frame_equal(queue.job(job.id).result(), expected)  # who has the id alone reads the index back


def test_result_keeps_row_order_when_parts_end_in_any_order(queue, start):
    start(concurrency=3)
    start(concurrency=3)
    df = pd.DataFrame({"x": range(500)})
    assert queue.submit_frame(df, lambda x: x, part_rows=7).result(WAIT_S)["lambda_"].tolist() == list(range(500))


def test_result_of_one_row(queue, start):
    start()
    result = queue.submit_frame(pd.DataFrame({"x": [4]}, index=["only"]), lambda x: x * x).result(WAIT_S)
    assert_frame_equal(result, pd.DataFrame({"lambda_": [16]}, index=["only"]))


# --- what functions return -----------------------------------------------------------------------

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


# --- batch functions -----------------------------------------------------------------------------

SHAPES = {
    "frame": lambda frame: pd.DataFrame({"double": frame["x"] * 2}),
    "dict": lambda frame: {"double": frame["x"] * 2},
    "arrow": lambda frame: pa.table({"double": frame["x"] * 2}),
    "polars": lambda frame: pl.DataFrame({"double": (frame["x"] * 2).to_numpy()}),
    "series": lambda frame: frame["x"] * 2,
    "array": lambda frame: (frame["x"] * 2).to_numpy(),
    "arrow array": lambda frame: pa.array(frame["x"] * 2),
    "list": lambda frame: [x * 2 for x in frame["x"]],
    "dicts": lambda frame: [{"double": x * 2} for x in frame["x"]],
}


@pytest.mark.parametrize("function", SHAPES.values(), ids=SHAPES)
def test_batch_function_may_return(queue, start, function):
    start()
    df = pd.DataFrame({"x": range(10)}, index=list("jihgfedcba"))
    task = oq.task(name="double", batch=True)(function)
    assert_frame_equal(queue.submit_frame(df, task, part_rows=4).result(WAIT_S), pd.DataFrame({"double": df["x"] * 2}))


def test_batch_function_gets_slices_of_the_frame(queue, start):
    @oq.task(batch=True)
    def look(frame):
        return pd.DataFrame(
            {"label": frame.index, "kind": str(frame["c"].dtype), "columns": [list(frame)] * len(frame)}
        )

    start()
    index = pd.date_range("2024-01-01", periods=5, freq="h")
    df = pd.DataFrame({"c": pd.Categorical(list("abbaa")), "t": "t"}, index=index)
    result = queue.submit_frame(df, look, part_rows=2).result(WAIT_S)
    assert result["label"].tolist() == list(index)
    assert set(result["kind"]) == {"category"}
    assert result["columns"].tolist() == [["c", "t"]] * 5


def test_batch_function_gets_the_chosen_columns(queue, start):
    @oq.task(batch=True)
    def names(frame):
        return [",".join(frame)] * len(frame)

    start()
    df = pd.DataFrame({"a": [1], "b": [2], "c": [3]})
    assert queue.submit_frame(df, names, columns=["c", "a"]).result(WAIT_S)["names"].tolist() == ["c,a"]


@pytest.mark.parametrize(
    ("returned", "told"),
    (
        (lambda frame: frame["x"].iloc[1:], "one row for each of its 3 rows, but returned 2"),
        (lambda frame: None, "must return a frame, Series, array or list with a row for each row it got"),
        (lambda frame: 5, "but returned int"),
        (lambda frame: {"a": [1], "b": [1, 2]}, "not of columns of one length"),
        (lambda frame: pd.DataFrame(index=frame.index), "a frame without columns"),
    ),
    ids=["fewer", "None", "scalar", "ragged", "no columns"],
)
def test_batch_function_fails_clearly_when_it_returns_something_else(queue, start, returned, told):
    start()
    job = queue.submit_frame(pd.DataFrame({"x": range(3)}), oq.task(name="off", batch=True)(returned), part_rows=3)
    with pytest.raises(oq.JobFailed, match="3 of 3 tasks"):
        job.result(WAIT_S)
    errors = job.errors()
    assert errors["type"].tolist() == ["SchemaError"] * 3
    assert errors["attempt"].tolist() == [1] * 3  # to try again would not help
    assert told in errors["message"][0]


# --- other frames --------------------------------------------------------------------------------


def test_polars_frame_gives_a_polars_frame(queue, start):
    start()
    df = pl.DataFrame({"x": [1, 2, 3], "s": ["a", None, "c"]})
    result = queue.submit_frame(df, lambda x, s: {"y": x * 2, "s": s}, part_rows=2).result(WAIT_S)
    assert isinstance(result, pl.DataFrame)
    assert result.to_dict(as_series=False) == {"y": [2, 4, 6], "s": ["a", None, "c"]}


def test_polars_batch_function_gets_and_gives_polars(queue, start):
    @oq.task(batch=True)
    def double(frame):
        return frame.select(y=pl.col("x") * 2)

    start()
    result = queue.submit_frame(pl.DataFrame({"x": [1, 2, 3]}), double, part_rows=2).result(WAIT_S)
    assert result.equals(pl.DataFrame({"y": [2, 4, 6]}))


def test_arrow_table_gives_an_arrow_table(queue, start):
    start()
    table = pa.table({"x": pa.array([1, None, 3], pa.int16())})
    result = queue.submit_frame(table, lambda x: None if x is None else x + 0.5).result(WAIT_S)
    assert isinstance(result, pa.Table)
    assert result.to_pydict() == {"lambda_": [1.5, None, 3.5]}


def test_polars_failures_give_nulls_or_no_rows(queue, start):
    start()
    job = queue.submit_frame(pl.DataFrame({"x": [1, 0, 4]}), lambda x: 4 // x, retries=0)
    assert job.result(WAIT_S, errors="coerce")["lambda_"].to_list() == [4, None, 1]
    assert job.result(errors="drop")["lambda_"].to_list() == [4, 1]


# --- refused before anything is written ----------------------------------------------------------


def _refused(queue, *arguments, **options):
    before, requests = keys_in(queue), queue.repository.store.requests.snapshot()
    with pytest.raises(SchemaError) as caught:
        queue.submit_frame(*arguments, **options)
    assert (queue.repository.store.requests.snapshot() - requests)["put"] == 0
    assert keys_in(queue) == before
    return str(caught.value)


def test_submit_frame_refuses_a_column_that_cannot_be_stored(queue):
    df = pd.DataFrame({"x": [1, 2], "lock": [None, threading.Lock()]}, index=["a", "b"])
    assert "column 'lock', row 1 (index 'b'): _thread.lock cannot be stored" in _refused(queue, df, lambda lock: 1)


def test_submit_frame_refuses_parameters_that_are_no_columns(queue):
    df = pd.DataFrame({"price": [1], "size": [2]})
    told = _refused(queue, df, lambda price, colour, weight=1: 1)
    assert "'colour'" in told
    assert "the columns are 'price', 'size'" in told
    assert "weight" not in told


@pytest.mark.parametrize("function", (lambda **row: 1, lambda x: 1), ids=["all", "one"])
def test_submit_frame_refuses_column_names_that_no_parameter_can_have(queue, function):
    told = _refused(queue, pd.DataFrame([[1, 2]]), function)
    assert told.startswith("column 0 cannot be passed to row function 'lambda_', whose parameters are the columns")
    assert "rename the columns to text" in told


def test_submit_frame_leaves_out_columns_that_no_parameter_can_name(queue, start):
    start()
    df = pd.DataFrame({"x": [1], 7: [2]})
    assert queue.submit_frame(df, lambda x: x).result(WAIT_S)["lambda_"].tolist() == [1]


def test_submit_frame_refuses_columns_that_do_not_exist(queue):
    assert "no column 'z'; the frame has: 'x'" in _refused(queue, pd.DataFrame({"x": [1]}), lambda x: x, columns=["z"])


def test_submit_frame_refuses_a_function_that_names_no_parameters(queue):
    told = _refused(queue, pd.DataFrame({"x": [1]}), oq.task(name="total")(lambda *values: 1))
    assert told == (
        "function 'total' does not name its parameters, so no column can be matched with them; "
        "wrap it: lambda x: total(x)"
    )


def test_submit_frame_refuses_what_is_no_frame(queue):
    assert "a list is not a frame; pass a pandas or polars DataFrame" in _refused(queue, [1, 2], lambda x: x)


def test_submit_frame_stores_nothing_when_a_limit_is_passed(queue):
    before = keys_in(queue)
    with pytest.raises(UsageError, match="2 tasks are more than max_tasks=1"):
        queue.submit_frame(pd.DataFrame({"x": [1, 2]}), lambda x: x, max_tasks=1)
    assert keys_in(queue) == before


# --- no rows, no workers -------------------------------------------------------------------------


def used(index):
    """Return an index without the levels that no row has, which pandas 2 compares as well."""
    return index.remove_unused_levels() if isinstance(index, pd.MultiIndex) else index


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_empty_frame_is_a_completed_job(queue, index):
    df = pd.DataFrame({"x": [1.0] * 7}, index=index).iloc[:0]
    job = queue.submit_frame(df, lambda x: x)
    assert (job.status, len(job), job.done()) == ("completed", 0, True)
    for handle in (job, queue.job(job.name)):
        assert_index_equal(used(handle.result(timeout=1).index), used(df.index))
    assert job.errors().empty
    assert job.tasks().empty
    assert list(job.as_completed(timeout=1)) == []
    assert queue.jobs()["status"].tolist() == ["completed"]


def test_empty_polars_frame_is_a_completed_job(queue):
    result = queue.submit_frame(pl.DataFrame({"x": []}, schema={"x": pl.Int64}), lambda x: x).result(timeout=1)
    assert isinstance(result, pl.DataFrame)
    assert result.height == 0


def test_wait_says_how_to_start_a_worker_when_none_has_come(queue):
    job = queue.submit_frame(pd.DataFrame({"x": [1, 2]}), lambda x: x)
    with pytest.raises(TimeoutError) as caught:
        job.wait(timeout=0.1)
    assert isinstance(caught.value, WaitTimeout)
    told = str(caught.value)
    assert f"job {job.name} is not done after 0.1 s: 2 pending. It goes on" in told
    assert "No worker has taken any of it yet: start some with oq.local_workers(2), or 'oq worker'" in told


def test_wait_names_the_task_type_when_no_worker_for_it_has_come(queue):
    with pytest.raises(WaitTimeout, match="for tasks named 'score'"):
        queue.submit_frame(pd.DataFrame({"x": [1]}), "score").wait(timeout=0)


# --- join ----------------------------------------------------------------------------------------


def test_join_puts_the_submitted_columns_first(queue, start):
    start()
    df = pd.DataFrame({"x": [1, 2, 3], "s": list("abc")}, index=[7, 7, 8])
    job = queue.submit_frame(df, lambda x: {"x": -x, "y": x * 2})
    expected = df.assign(x_result=[-1, -2, -3], y=[2, 4, 6])
    assert_frame_equal(job.result(WAIT_S, join=True), expected)


def test_join_never_lacks_columns_that_were_submitted(queue, start):
    start()
    df = pd.DataFrame({"x": [1, 2, 3], "s": list("abc")}, index=[7, 7, 8])
    job = queue.submit_frame(df, lambda x: {"x": -x, "y": x * 2})
    expected = job.result(WAIT_S, join=True)
    again = queue.job(job.id)
    with pytest.raises(UsageError, match=r"1 columns of the submitted frame are not stored.*result\(join=df\)"):
        again.result(join=True)
    assert_frame_equal(again.result(join=df), expected)
    for other in (df.assign(x=9), df[["s"]], df.reset_index(drop=True), df[::-1]):
        with pytest.raises(UsageError, match="not the frame that was submitted"):
            again.result(join=other)


def test_join_from_another_handle_has_all_columns_where_the_function_takes_all(queue, start):
    start()
    df = pd.DataFrame({"x": [1, 2, 3], "y": list("abc")}, index=[7, 7, 8])
    job = queue.submit_frame(df, lambda x, y: x)
    expected = job.result(WAIT_S, join=True)
    assert list(expected) == ["x", "y", "lambda_"]
    assert_frame_equal(queue.job(job.id).result(join=True), expected)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # which users use all the same
@pytest.mark.parametrize(
    "change",
    (
        lambda df: df.sort_values("x", inplace=True, ignore_index=True),  # noqa: PD002
        lambda df: df.drop(columns="x", inplace=True),  # noqa: PD002
        lambda df: df.insert(0, "new", 0),
        lambda df: df.__setitem__("x", 0),
        lambda df: df.set_index("x", inplace=True),  # noqa: PD002
        lambda df: df.loc.__setitem__((1, "x"), 100),
    ),
    ids=["sorted", "dropped", "inserted", "overwritten", "reindexed", "one cell"],
)
def test_join_pairs_rows_as_submitted_whatever_is_done_to_the_frame_since(queue, start, change):
    start()
    df = pd.DataFrame({"x": [3, 1, 2]})
    job = queue.submit_frame(df, lambda x: x * 2)
    change(df)
    assert_frame_equal(job.result(WAIT_S, join=True), pd.DataFrame({"x": [3, 1, 2], "lambda_": [6, 2, 4]}))


def test_join_drops_the_same_rows_on_both_sides(queue, start):
    start()
    df = pd.DataFrame({"x": [1, 0, 4]}, index=list("abc"))
    job = queue.submit_frame(df, lambda x: 4 // x, retries=0, part_rows=1)
    expected = pd.DataFrame({"x": [1, 4], "lambda_": [4, 1]}, index=["a", "c"])
    assert_frame_equal(job.result(WAIT_S, errors="drop", join=True), expected)


def test_join_uses_the_rows_as_submitted_when_the_frame_was_changed_since(queue, start):
    start()
    df = pd.DataFrame({"x": [1, 2, 3]})
    job = queue.submit_frame(df, lambda x: x * 2)
    df.loc[3] = 9
    assert_frame_equal(job.result(WAIT_S, join=True), pd.DataFrame({"x": [1, 2, 3], "lambda_": [2, 4, 6]}))


def test_join_is_refused_for_a_job_without_a_frame(queue, start):
    start()
    with pytest.raises(UsageError, match="submitted as values"):
        queue.map(lambda x: x, [1]).result(WAIT_S, join=True)
