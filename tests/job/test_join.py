"""`result(join=True)`: the submitted columns beside the results."""

from __future__ import annotations

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from oqkit.errors import UsageError
from tests.local import WAIT_S


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
