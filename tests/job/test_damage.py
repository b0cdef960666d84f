"""What is damaged in the queue costs the rows that are in it, says where it lies, and never gives other rows."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import oqkit as oq
from oqkit.errors import FormatError
from tests.local import WAIT_S, keys_in

FRAME = pd.DataFrame({"x": range(40)}, index=[f"r{n}" for n in range(40)])


def far(x):
    if x == 13:
        raise ValueError("unlucky")
    return {"x": x, "when": pd.Timestamp("2020").as_unit("ns") + pd.Timedelta(x, "h")}  # so it is no JSON


def spoil(queue, part):
    """Damage the output of one part; return its key."""
    (key,) = (key for key in keys_in(queue) if f"/out/{part:07d}-" in key)
    data = bytearray(queue.repository.store.read(key).data)
    data[len(data) // 2] ^= 1
    queue.repository.store.overwrite(key, bytes(data))
    return key


def finished(queue, start):
    start()
    job = queue.submit_frame(FRAME, far, part_rows=10, retries=0)
    job.wait(WAIT_S)
    return queue.job(job.id)


def test_damaged_output_costs_only_its_rows_and_names_its_key(queue, start):
    job = finished(queue, start)
    key = spoil(queue, 0)
    with pytest.warns(UserWarning, match=f"10 tasks of job .* cannot be read: the output {key}"):
        result = job.result(errors="coerce")
    assert result["x"].isna().tolist() == [n < 10 or n == 13 for n in range(40)]
    with pytest.warns(UserWarning, match=re.escape(key)):
        assert job.partial()["x"].tolist() == [n for n in range(10, 40) if n != 13]
    assert job.counts()["completed"] == 39
    assert job.errors()["message"].tolist() == ["unlucky"]


def test_damaged_output_is_an_error_where_errors_are_raised(queue, start):
    start()
    job = queue.submit_frame(FRAME.drop("r13"), far, part_rows=13)
    job.wait(WAIT_S)
    key = spoil(queue, 1)
    with pytest.raises(oq.JobFailed, match=r"13 tasks .* completed, but their results cannot be read") as caught:
        queue.job(job.id).result()
    assert caught.value.failures["row"].tolist() == list(range(13, 26))
    assert key in caught.value.failures["message"].iloc[0]


def test_failure_whose_record_is_damaged_says_so(queue, start):
    job = finished(queue, start)
    key = spoil(queue, 1)
    (error,) = job.errors().itertuples()
    assert (error.Index, error.type) == ("r13", "FormatError")
    assert f"it failed, but why cannot be read: the output {key}" in error.message


def test_missing_output_costs_only_its_rows(queue, start):
    job = finished(queue, start)
    (key,) = (key for key in keys_in(queue) if "/out/0000002-" in key)
    queue.repository.delete_quietly(key)
    with pytest.warns(UserWarning, match=f"the output {key} is gone"):
        assert job.result(errors="drop")["x"].tolist() == [n for n in range(40) if n != 13 and not 20 <= n < 30]


def test_result_of_a_single_task_names_its_damaged_output(queue, start):
    start()
    task = queue.submit(lambda x: (x, b"bytes"), {"x": 1})
    assert task.result(WAIT_S) == (1, b"bytes")
    key = spoil(queue, 0)
    with pytest.raises(FormatError, match=re.escape(key)):
        queue.get(task.id).result()


def test_damaged_input_fails_its_rows_and_gives_no_others(queue, start):
    job = queue.submit_frame(FRAME, lambda x: x, part_rows=10, retries=0)
    (key,) = (key for key in keys_in(queue) if "/in-" in key)
    data = bytearray(queue.repository.store.read(key).data)
    for place in range(60, 68):
        data[place] ^= 255
    queue.repository.store.overwrite(key, bytes(data))
    start()
    result = job.result(WAIT_S, errors="drop")
    errors = job.errors()
    assert len(errors) >= 10
    assert result["lambda_"].tolist() == [n for n in range(40) if n not in set(errors["row"])]
    assert errors["message"].str.contains(f"{key} is not the Parquet file that was written").all()
