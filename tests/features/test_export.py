"""Results for other programs: a Parquet file, and a dataset that engines read in place."""

from __future__ import annotations

import pickle

import duckdb
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import oqkit
from tests.local import WAIT_S, keys_in, work_off

FRAME = pd.DataFrame({"x": np.arange(50)}, index=pd.Index([f"k{number:02}" for number in range(50)], name="key"))


@oqkit.task(batch=True)
def many(frame):
    """Return a column of each common kind."""
    return pd.DataFrame(
        {
            "i": frame["x"].astype("int32"),
            "f": frame["x"] / 3,
            "s": "t" + frame["x"].astype("str"),
            "when": pd.Timestamp("2024-01-01", tz="Europe/Oslo") + pd.to_timedelta(frame["x"], "h"),
            "flag": pd.array((frame["x"] % 2 == 0).tolist(), "boolean"),
        },
        index=frame.index,
    )


@oqkit.task
def half(x):
    return x / 2


@oqkit.task(retries=0)
def picky(x):
    if x % 5 == 0:
        raise ValueError(x)
    return x


def done(queue, frame, fn, **options):
    job = queue.submit_frame(frame, fn, **options)
    work_off(queue, fn)
    return job.wait(WAIT_S)


def read(job, tmp_path, **options):
    job.to_parquet(tmp_path / "out.parquet", **options)
    return pd.read_parquet(tmp_path / "out.parquet")


# --- to_parquet ----------------------------------------------------------------------------------

INDEXES = {
    "text": FRAME.index,
    "numbered": pd.RangeIndex(50),
    "every second": pd.RangeIndex(0, 100, 2, name="n"),
    "dates": pd.date_range("2024-01-01", periods=50),
    "several": pd.MultiIndex.from_product([range(10), list("abcde")], names=["a", None]),
    "named as a result": pd.Index(range(50), name="i"),
}


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize("part_rows", (7, 50))
def test_parquet_file_gives_the_frame_that_result_gives(queue, tmp_path, name, part_rows):
    job = done(queue, FRAME.set_axis(INDEXES[name]), many, part_rows=part_rows)
    pd.testing.assert_frame_equal(read(job, tmp_path), job.result(), check_freq=False)


def test_values_that_are_one_thing_make_the_column_that_result_has(queue, tmp_path):
    job = done(queue, FRAME, half)
    pd.testing.assert_frame_equal(read(job, tmp_path), job.result())


@pytest.mark.parametrize("errors", ("coerce", "drop"))
@pytest.mark.parametrize("frame", (FRAME, FRAME.reset_index(drop=True)), ids=["labels", "numbers"])
def test_rows_that_failed_are_null_or_left_out_as_in_result(queue, tmp_path, errors, frame):
    job = done(queue, frame, picky, part_rows=8)
    pd.testing.assert_frame_equal(read(job, tmp_path, errors=errors), job.result(errors=errors))
    before = (tmp_path / "out.parquet").stat().st_mtime_ns
    with pytest.raises(oqkit.JobFailed, match="10 of 50"):
        job.to_parquet(tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").stat().st_mtime_ns == before


@oqkit.task(batch=True)
def changing(frame):
    """Return other types and columns for later rows."""
    first = int(frame["x"].iloc[0])
    if first < 10:
        return pd.DataFrame({"a": frame["x"]})
    if first < 20:
        return pd.DataFrame({"a": frame["x"] / 4, "b": "late"})
    return pd.DataFrame({"a": frame["x"], "b": pd.array([None] * len(frame), "str")})


def test_slices_of_several_types_have_the_type_of_all(queue, tmp_path):
    job = done(queue, FRAME, changing, part_rows=10)
    pd.testing.assert_frame_equal(read(job, tmp_path), job.result())


@oqkit.task
def odd(x):
    return {0: 2**60 + 1, 1: 0.5, 2: "text", 3: {"a": [1]}}[x % 4] if x > 20 else x


def test_values_of_no_common_type_are_json_text_as_in_polars(queue, tmp_path):
    jobs = [done(queue, frame, odd, part_rows=5) for frame in (FRAME, pl.from_pandas(FRAME))]
    found = [read(job, tmp_path)["odd"].tolist() for job in jobs]
    assert found[0] == found[1] == jobs[1].result()["odd"].to_list()


def test_large_numbers_and_fractions_of_different_slices_lose_nothing(queue, tmp_path):
    @oqkit.task
    def large(x):
        return 2**60 + 1 if x < 25 else x / 2

    job = done(queue, FRAME, large, part_rows=25)
    assert job.result()["large"].tolist()[0] == 2**60 + 1
    assert read(job, tmp_path)["large"].tolist()[0] == str(2**60 + 1)


def test_file_that_could_not_be_written_leaves_nothing_behind(queue, tmp_path, monkeypatch):
    job = done(queue, FRAME, half)
    (tmp_path / "out.parquet").write_text("old")

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        job.to_parquet(tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert (tmp_path / "out.parquet").read_text() == "old"


def test_parquet_file_can_be_anywhere_fsspec_reaches(queue):
    job = done(queue, FRAME, half)
    job.to_parquet("memory://exports/out.parquet")
    with fsspec.open("memory://exports/out.parquet") as file:
        pd.testing.assert_frame_equal(pd.read_parquet(file), job.result())


def test_items_that_are_tasks_of_several_jobs_have_no_file(queue, tmp_path):
    queue.map(half, [{"x": 1}], key="x")
    job = queue.map(half, [{"x": 1}, {"x": 2}], key="x")
    with pytest.raises(oqkit.UsageError, match="tasks of several jobs"):
        job.to_parquet(tmp_path / "out.parquet")


# --- dataset -------------------------------------------------------------------------------------


def test_engines_read_the_dataset_and_agree_with_the_result(queue):
    job = done(queue, FRAME, many, part_rows=7)
    expected, found = job.result(), job.dataset()
    assert isinstance(found, pads.Dataset)
    pd.testing.assert_frame_equal(found.to_table().to_pandas(), expected)
    assert duckdb.sql("SELECT sum(i), count(DISTINCT s) FROM found WHERE i > 10").fetchall() == [
        (sum(range(11, 50)), 39)
    ]
    assert duckdb.sql("SELECT key, f FROM found ORDER BY key").fetchall() == list(expected["f"].items())
    lazy = pl.scan_pyarrow_dataset(found)
    assert lazy.filter(pl.col("i") < 3).select("s").collect()["s"].to_list() == ["t0", "t1", "t2"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_engines_agree_with_the_result_of_a_million_rows(folder_queue):
    frame = pd.DataFrame({"x": np.arange(1_000_000)}, index=pd.Index(np.arange(1_000_000) * 3, name="key"))
    job = done(folder_queue, frame, many)
    expected, found = job.result(), job.dataset()
    for read_by in (
        duckdb.sql("SELECT key, i, f, s, flag FROM found ORDER BY key").df(),
        pl.scan_pyarrow_dataset(found).select("key", "i", "f", "s", "flag").collect().to_pandas(),
    ):
        for name, values in expected.reset_index()[["key", "i", "f", "s", "flag"]].items():
            assert (read_by[name].to_numpy() == values.to_numpy()).all(), name


def test_dataset_is_written_once_and_again_if_tasks_ran_again(queue, tmp_path):
    job = done(queue, FRAME, picky, part_rows=8)
    found = job.dataset(errors="drop")
    before = keys_in(queue)
    assert job.dataset(errors="drop").files == found.files
    assert queue.job(job.id).dataset(errors="drop").files == found.files
    assert keys_in(queue) == before
    job.retry(fn=half)
    work_off(queue)
    job.wait(WAIT_S)
    assert job.dataset().count_rows() == 50
    assert found.count_rows() == 40, "who reads the old one goes on"
    job.cancel()
    job.delete()
    assert [key for key in keys_in(queue) if "/result/" in key] == []


def test_result_of_no_rows_is_a_dataset_too(queue):
    job = queue.submit_frame(FRAME[:0], half)
    assert job.dataset().to_table().to_pandas().empty


def test_dataset_goes_to_another_process_where_the_queue_does(queue):
    job = done(queue, FRAME, half)
    again = pickle.loads(pickle.dumps(job.dataset()))
    assert again.to_table().to_pandas()["half"].tolist() == job.result()["half"].tolist()


def test_polars_job_has_no_index_in_its_dataset(queue):
    job = done(queue, pl.from_pandas(FRAME), half)
    assert pl.from_arrow(job.dataset().to_table()).equals(job.result())


def test_groups_of_any_number_of_rows_have_a_file_and_a_dataset(queue, tmp_path):
    def head(frame):
        return frame[["x"]].head(frame["x"].iloc[0])

    frame = FRAME.assign(g=FRAME["x"] % 3)
    job = queue.submit_frame(frame, head, by="g")
    work_off(queue)
    pd.testing.assert_frame_equal(read(job, tmp_path), job.result())
    assert job.dataset().count_rows() == 3


# --- as they come --------------------------------------------------------------------------------


def test_results_as_they_come_are_a_chunk_at_a_time(folder_queue):
    limit = folder_queue.repository.limits.client.chunk_rows
    frame = pd.DataFrame({"x": np.arange(2 * limit + 1)})

    @oqkit.task(batch=True)
    def same(frame):
        return frame

    job = done(folder_queue, frame, same, part_rows=limit // 4)
    stream = job.as_completed(WAIT_S)
    frames = list(stream)
    assert list(stream) == [], "each row comes once"
    assert [len(one) for one in frames] == [limit, limit, 1]
    assert pd.concat(frames)["x"].tolist() == frame["x"].tolist()
