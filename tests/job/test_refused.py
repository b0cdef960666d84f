"""What `submit_frame` refuses, before anything is written."""

from __future__ import annotations

import threading

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import SchemaError, UsageError
from tests.local import WAIT_S, keys_in


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


def test_a_job_that_nobody_could_read_is_refused_before_its_code_is_stored(queue):
    before = keys_in(queue)
    with pytest.raises(UsageError, match="a value at most 256"):
        queue.submit_frame(pd.DataFrame({"x": [1]}), lambda x: x, tags={"note": "x" * 70_000_000})
    with pytest.raises(UsageError, match="shorten its tags, reasons, input"):
        queue.map(lambda x: x, ["x" * 70_000_000], payload="inline")
    with pytest.raises(UsageError, match="shorten its tags, reasons, input"):
        queue.submit(lambda x: x, "x" * 70_000_000, payload="inline")
    assert keys_in(queue) == before
