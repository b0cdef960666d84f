"""Parquet files as the input of a job."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from zoneinfo import ZoneInfo

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

import oqkit as oq
from oqkit.client import connect
from oqkit.queue.worker_record import workers
from oqkit.testing.fault import Fault, FaultKind
from oqkit.testing.proxy import FaultProxy
from tests.local import QUICK_NEWS, WAIT_S, connect_with, keys_in, refusal, until


def double(x: float, y: int) -> float:
    return x * 2 + y


@oq.task(batch=True)
def whole(frame: pd.DataFrame) -> pd.DataFrame:
    assert isinstance(frame.index, pd.RangeIndex)
    return pd.DataFrame({"number": frame.index, "s": frame["s"].str.upper()}, index=frame.index)


@pytest.fixture
def folder(tmp_path):
    """Three files: 250, 0 and 1,000 rows, in row groups of 70 and of 400."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    for number, (n, size) in enumerate(((250, 70), (0, 70), (1000, 400))):
        frame = pd.DataFrame(
            {"x": rng.random(n), "y": np.arange(n), "s": np.array([f"s{i}" for i in range(n)], object)}
        )
        frame["s"] = frame["s"].astype("string")
        frame.to_parquet(folder / f"{number}.parquet", row_group_size=size)
    return folder


def rows_of(folder):
    frames = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("part_rows", ("auto", 1, 60, 10_000))
def test_rows_of_many_files_are_numbered_through(queue, start, folder, part_rows):
    df = rows_of(folder)
    if part_rows == 1:
        (folder / "2.parquet").unlink()
        df = df[:250]
    start()
    job = queue.submit_dataset(str(folder), double, part_rows=part_rows)
    result = job.result(WAIT_S)
    assert result["double"].tolist() == (df["x"] * 2 + df["y"]).tolist()
    assert result.index.equals(pd.RangeIndex(len(df)))


def test_batch_function_gets_slices_with_their_row_numbers(queue, start, folder):
    start()
    result = queue.submit_dataset(f"{folder}/*.parquet", whole, part_rows=100).result(WAIT_S)
    assert result["number"].tolist() == list(range(1250))
    assert result["s"].tolist() == rows_of(folder)["s"].str.upper().tolist()


@oq.task(batch=True)
def dtypes(frame: pd.DataFrame) -> list[str]:
    return [str(frame.dtypes.to_dict())] * len(frame)


@pytest.mark.parametrize("write_statistics", (True, False), ids=["statistics", "no statistics"])
def test_every_slice_has_the_dtypes_of_the_whole(queue, start, tmp_path, write_statistics):
    columns = {
        "full": pa.array(range(6), pa.int64()),
        "gap": pa.array([1, 2, None, 4, 5, 2**53 + 1], pa.int64()),
        "flag": pa.array([True, None, False, True, True, True]),
        "kind": pa.array(["a", "a", "b", "c", "c", "a"]).dictionary_encode(),
        "text": pa.array(["a", None, "b", "c", "d", "e"]),
        "day": pa.array([1, None, 3, 4, 5, 6], pa.date32()),
    }
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2, write_statistics=write_statistics)
    start()
    seen = queue.submit_dataset(str(path), dtypes, part_rows=1).result(WAIT_S)["dtypes"].unique().tolist()
    expected = pd.read_parquet(path).assign(kind=lambda df: df["kind"].astype("str"))
    if not write_statistics:
        expected = expected.astype({"full": "Int64", "gap": "Int64", "flag": "boolean"})
    assert seen == [str(expected.dtypes.to_dict())]


def shown(gap):
    return repr(gap)


def test_row_function_gets_the_numbers_of_a_column_with_nulls(queue, start, tmp_path):
    pq.write_table(pa.table({"gap": pa.array([1, None, 3], pa.int64())}), tmp_path / "one.parquet", row_group_size=1)
    start()
    result = queue.submit_dataset(str(tmp_path / "one.parquet"), shown, part_rows=1).result(WAIT_S)
    assert result["shown"].tolist() == [repr(value) for value in (1.0, float("nan"), 3.0)]


@pytest.mark.parametrize("is_ignored", (False, True))
def test_times_in_structs_keep_their_zone(queue, start, tmp_path, monkeypatch, is_ignored):
    """pandera sets the variable, and pyarrow makes times of UTC without a zone then."""
    monkeypatch.delenv("PYARROW_IGNORE_TIMEZONE", raising=False)  # else it would change what is written here
    times = pa.array([dt.datetime(2020, 7, 1, 5, tzinfo=ZoneInfo("Europe/Paris"))], pa.timestamp("us", "Europe/Paris"))
    struct = pa.StructArray.from_arrays([times], ["when"])
    deep = pa.StructArray.from_arrays([struct], ["inner"])
    pq.write_table(pa.table({"one": struct, "two": deep}), tmp_path / "a.parquet")
    if is_ignored:
        monkeypatch.setenv("PYARROW_IGNORE_TIMEZONE", "1")

    def seen(one, two):
        return {"one": one["when"].isoformat(), "two": two["inner"]["when"].isoformat()}

    start()
    result = queue.submit_dataset(str(tmp_path / "a.parquet"), seen).result(WAIT_S)
    assert result.iloc[0].to_dict() == dict.fromkeys(("one", "two"), "2020-07-01T05:00:00+02:00")


def test_input_columns_can_be_joined(queue, start, folder):
    start()
    result = queue.submit_dataset([str(folder / "0.parquet")], double).result(WAIT_S, join=True)
    assert list(result.columns) == ["x", "y", "double"]
    assert result[["x", "y"]].equals(pd.read_parquet(folder / "0.parquet")[["x", "y"]])


def test_stored_index_reaches_the_function_and_only_used_columns_are_read(queue, start, tmp_path):
    df = pd.DataFrame({"x": [1.0, 2.0], "y": [3, 4], "z": ["a", "b"]}, index=pd.Index(["p", "q"], name="id"))
    df.to_parquet(tmp_path / "one.parquet")

    @oq.task(batch=True)
    def names(frame):
        return pd.DataFrame({"id": frame.index, "columns": ",".join(frame.columns)}, index=frame.index)

    start()
    job = queue.submit_dataset(str(tmp_path / "one.parquet"), names, columns=["y"])
    assert job.result(WAIT_S).to_dict("list") == {"id": ["p", "q"], "columns": ["y", "y"]}


def test_same_files_attach_and_changed_ones_are_another_job(queue, start, folder):
    first = queue.submit_dataset(str(folder), double)
    assert queue.submit_dataset(str(folder), double).id == first.id
    pd.DataFrame({"x": [1.0], "y": [1], "s": ["a"]}).astype({"s": "string"}).to_parquet(folder / "3.parquet")
    second = queue.submit_dataset(str(folder), double)
    assert (second.id != first.id, len(second)) == (True, 1251)


def test_submitting_writes_no_rows(queue, folder):
    before = queue.repository.store.requests.snapshot()
    queue.submit_dataset(str(folder), double)
    spent = queue.repository.store.requests.snapshot() - before
    assert spent["put"] <= 4, "code, job, marker, bell"
    assert not any(key.endswith(".parquet") for key in keys_in(queue))


def test_file_that_was_written_anew_fails_its_rows_and_says_so(queue, start, folder):
    job = queue.submit_dataset(str(folder / "0.parquet"), double, retries=0)
    pd.DataFrame({"x": [0.5] * 250, "y": range(250)}).to_parquet(folder / "0.parquet")
    start()
    job.wait(WAIT_S)
    errors = job.errors()
    assert len(errors) == 250
    assert errors["message"].str.contains("has been written anew since").all()


def test_file_that_is_gone_fails_its_rows_and_says_so(queue, start, folder):
    job = queue.submit_dataset(str(folder / "0.parquet"), double, retries=0)
    (folder / "0.parquet").unlink()
    start()
    job.wait(WAIT_S)
    assert job.errors()["message"].str.contains("0.parquet").all()


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_files_in_a_bucket_are_read_by_the_workers(seaweed, aws, start, folder, monkeypatch):
    monkeypatch.setattr(connect, "_default", [])
    seaweed.create_bucket("data-and-queue")
    files = fsspec.filesystem("s3", endpoint_url=seaweed.endpoint_url)
    for path in sorted(folder.glob("*.parquet")):
        files.pipe_file(f"data-and-queue/in/{path.name}", path.read_bytes())
    queue = oq.connect("s3://data-and-queue/queue", endpoint_url=seaweed.endpoint_url)
    start()
    job = queue.submit_dataset("s3://data-and-queue/in/*.parquet", double)
    df = rows_of(folder)
    assert job.result(WAIT_S)["double"].tolist() == (df["x"] * 2 + df["y"]).tolist()
    files.pipe_file("data-and-queue/in/0.parquet", (folder / "2.parquet").read_bytes())
    assert queue.submit_dataset("s3://data-and-queue/in/*.parquet", double).id != job.id


@pytest.mark.parametrize(
    ("paths", "options", "error", "told"),
    (
        ("{0}/none-*.parquet", None, oq.UsageError, "no Parquet files match"),
        ("{0}/none.parquet", None, oq.UsageError, "there is no file"),
        ([], None, oq.UsageError, "must be a path, glob or folder"),
        (None, None, oq.UsageError, "must be a path, glob or folder"),
        ("{0}/text.txt", None, oq.UsageError, "is not a Parquet file"),
        (["{0}/0.parquet", "{0}/other.parquet"], None, oq.SchemaError, "other.parquet has the columns x: int64"),
        ("{0}/0.parquet", {"secret": "s"}, oq.UsageError, "workers find credentials by themselves"),
        ("{0}/other.parquet", None, oq.SchemaError, "'y'"),
    ),
)
def test_bad_input_is_refused_before_anything_is_written(queue, folder, paths, options, error, told):
    (folder / "text.txt").write_text("not Parquet at all")
    pd.DataFrame({"x": [1]}).to_parquet(folder / "other.parquet")
    before = keys_in(queue)
    if isinstance(paths, list):
        paths = [path.format(folder) for path in paths]
    elif isinstance(paths, str):
        paths = paths.format(folder)
    with pytest.raises(error, match=told):
        queue.submit_dataset(paths, double, storage_options=options)
    assert keys_in(queue) == before


# --- files that cannot be read -------------------------------------------------------------------


class Forbidden(Exception):
    """What an HTTP client of no known library raises."""

    status = 403

    @property
    def code(self):
        raise DeprecationWarning("use status")


class NoCredentialsError(Exception):
    """As botocore calls it."""


@pytest.fixture
def broken(monkeypatch):
    """Files whose path ends so raise that error when they are read."""
    found: dict[str, Exception] = {}
    for verb in ("info", "cat_file"):
        real = getattr(LocalFileSystem, verb)

        def call(self, path, *rest, real=real, **options):
            for end, error in found.items():
                if str(path).endswith(end):
                    raise error
            return real(self, path, *rest, **options)

        monkeypatch.setattr(LocalFileSystem, verb, call)
    return found


def beside(folder, number):
    """Copy the first file, so that a job of its own reads it."""
    path = folder / f"lone-{number}.parquet"
    path.write_bytes((folder / "0.parquet").read_bytes())
    return str(path)


@pytest.mark.parametrize(
    ("error", "kind"),
    (
        (PermissionError("AccessDenied"), "Denied"),
        (Forbidden("no"), "Denied"),
        (NoCredentialsError("none"), "Denied"),
        (FileNotFoundError("gone"), "Missing"),
    ),
    ids=["permission", "status", "credentials", "gone"],
)
def test_denied_and_missing_files_fail_their_rows_after_their_retries_and_nothing_else(
    queue, start, folder, broken, error, kind
):
    job = queue.submit_dataset(beside(folder, 1), double, retries=1, backoff=0.01, priority=200)
    other = queue.submit_dataset(str(folder / "0.parquet"), double, priority=1)
    broken["lone-1.parquet"] = error
    start()
    assert len(other.result(WAIT_S)) == 250
    job.wait(WAIT_S)
    errors = job.errors()
    assert (job.status, set(errors["type"]), set(errors["attempt"])) == ("failed", {kind}, {2})
    assert errors["message"].str.contains("lone-1.parquet").all()


def test_denied_file_that_is_allowed_again_is_read_by_the_next_attempt(queue, start, folder, broken):
    job = queue.submit_dataset(beside(folder, 1), double, retries=50, backoff=0.01)
    broken["lone-1.parquet"] = PermissionError("AccessDenied")
    start()
    until(lambda: job.tasks()["attempt"].max() > 1)
    broken.clear()
    assert len(job.result(WAIT_S)) == 250


def test_damaged_file_fails_its_rows_at_once(queue, start, folder):
    path = beside(folder, 1)
    info = LocalFileSystem().info(path)
    job = queue.submit_dataset(path, double, retries=5)
    data = bytearray((folder / "lone-1.parquet").read_bytes())
    data[-200:-8] = bytes(192)  # the footer; size and time stay
    (folder / "lone-1.parquet").write_bytes(data)
    os.utime(path, (info["mtime"], info["mtime"]))
    start()
    job.wait(WAIT_S)
    errors = job.errors()
    assert (len(errors), set(errors["attempt"])) == (250, {1})
    assert errors["message"].str.contains("cannot be read").all()


@pytest.fixture
def quick_to_try_again(monkeypatch):
    worker = replace(QUICK_NEWS.worker, inputs_first_wait_s=0.05, inputs_longest_wait_s=0.2)
    connect_with(replace(QUICK_NEWS, worker=worker), monkeypatch)


@pytest.mark.parametrize("error", (TimeoutError("slow"), ConnectionError("refused"), OSError(5, "I/O error")))
@pytest.mark.usefixtures("quick_to_try_again")
def test_store_that_is_away_puts_off_its_own_job_alone_and_is_shown(queue, start, folder, broken, error):
    job = queue.submit_dataset(beside(folder, 1), double, priority=200, retries=0)
    broken["lone-1.parquet"] = error
    start()
    others = [queue.submit_dataset(beside(folder, n), double, priority=1) for n in (2, 3)]
    assert [len(other.result(WAIT_S)) for other in others] == [250, 250]
    told = refusal(job)
    assert "it cannot read the inputs, " in told
    assert type(error).__name__ in told
    assert job.counts()["failed"] == 0
    broken.clear()
    assert len(job.result(WAIT_S)) == 250
    until(lambda: not any(list(record.refusals) for record in workers(queue.repository)))


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_bucket_that_denies_fails_its_own_rows_and_stalls_nothing(seaweed, aws, start, folder, monkeypatch):
    monkeypatch.setattr(connect, "_default", [])
    seaweed.create_bucket("denied-data")
    files = fsspec.filesystem("s3", endpoint_url=seaweed.endpoint_url)
    files.pipe_file("denied-data/in/0.parquet", (folder / "0.parquet").read_bytes())
    with FaultProxy(seaweed.endpoint_url, seed=1) as proxy:
        queue = oq.connect("s3://denied-data/queue", endpoint_url=proxy.url)
        job = queue.submit_dataset("s3://denied-data/in/0.parquet", double, retries=1, backoff=0.01, priority=200)
        proxy.inject(Fault(FaultKind.STATUS, key="in/0.parquet", status=403))
        other = queue.submit_frame(pd.DataFrame({"x": [1.0], "y": [2]}), double, priority=1)
        start()
        assert other.result(WAIT_S)["double"].tolist() == [4.0]
        job.wait(WAIT_S)
        assert set(job.errors()["type"]) == {"Denied"}
        start.stop()
