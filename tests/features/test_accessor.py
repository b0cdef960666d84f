"""`df.oq` of pandas and polars."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal

import oqkit
import oqkit.pandas
import oqkit.polars
from tests.local import work_off


def total(x, y):
    return {"sum": x + y, "product": x * y}


@oqkit.task(batch=True)
def doubled(frame):
    return frame * 2


PANDAS = pd.DataFrame({"x": [1, 2, 3], "y": [10, 20, 30]}, index=["a", "b", "c"])


def test_submit_gives_the_job_of_submit_frame(queue):
    job = PANDAS.oq.submit(total, name="totals", priority=200)
    assert job == queue.job("totals")
    assert (len(job), job.options.priority) == (3, 200)
    assert PANDAS.oq.submit(total, name="totals", priority=200) == job


def test_apply_gives_what_the_function_does(queue, start):
    start()
    expected = pd.DataFrame({"sum": [11, 22, 33], "product": [10, 40, 90]}, index=["a", "b", "c"])
    assert_frame_equal(PANDAS.oq.apply(total), expected)
    assert_frame_equal(PANDAS.oq.apply(doubled, part_rows=2), PANDAS * 2)
    assert_frame_equal(PANDAS.oq.apply(total, join=True), pd.concat([PANDAS, expected], axis=1))


def test_polars_in_polars_out(queue, start):
    start()
    frame = pl.DataFrame({"x": [1, 2, 3], "y": [10, 20, 30]})
    assert frame.oq.submit(total).wait().status == "completed"
    found = frame.oq.apply(total)
    assert isinstance(found, pl.DataFrame)
    assert found.to_dict(as_series=False) == {"sum": [11, 22, 33], "product": [10, 40, 90]}


def fail_at_two(x):
    return 1 / (x - 2)


def test_queue_and_errors_are_as_they_are_told(queue):
    other = oqkit.connect("memory://accessor")
    oqkit.connect(queue.url)
    job = PANDAS.oq.submit(fail_at_two, queue=other, retries=0)
    work_off(other)
    assert PANDAS.oq.apply(fail_at_two, queue=other, retries=0, errors="drop").index.tolist() == ["a", "c"]
    with pytest.raises(oqkit.JobFailed, match="ZeroDivisionError"):
        PANDAS.oq.apply(fail_at_two, queue=other, retries=0)
    assert job == other.job(job.id)
    assert not len(queue.jobs())


@pytest.mark.parametrize("module", ("pandas", "polars"))
def test_import_is_all_it_takes_and_import_of_the_package_brings_nothing(module):
    script = f"""
import sys, oqkit
oqkit.connect
assert not {{"polars", "joblib", "sklearn", "oqkit.pandas", "oqkit.joblib"}} & sys.modules.keys()
import oqkit.{module}, {module}
assert {module}.DataFrame({{"x": [1]}}).oq.submit
assert oqkit.{module}.__name__ == "oqkit.{module}"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
