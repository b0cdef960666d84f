"""`submit_frame` and the frame that comes back: rows, index, batches, polars and Arrow, and jobs without rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal

import oqkit as oq
from oqkit.errors import WaitTimeout
from tests.local import WAIT_S

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
