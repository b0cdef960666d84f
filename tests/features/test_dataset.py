"""Files as the input of a job: folders that name columns, filters, and what `pyarrow.dataset` lists."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

import oqkit
from oqkit.queue.feature import DATASETS
from tests.local import WAIT_S, keys_in, work_off

ROWS = pd.DataFrame(
    {
        "x": np.arange(60, dtype="int64"),
        "text": [f"t{number % 7}" for number in range(60)],
        "year": np.repeat([2023, 2024, 2025], 20),
        "city": np.tile(["Oslo", "São Paulo"], 30),
    }
)


@oqkit.task(batch=True)
def seen(frame):
    """Return what the function is given, its row numbers and its dtypes."""
    return frame.assign(number=frame.index, dtypes=str(frame.dtypes.to_dict()))


@oqkit.task
def total(x, year):
    return x + year


@pytest.fixture
def folder(tmp_path):
    """Two columns in the names of folders, and files of row groups of four rows."""
    fields = pa.schema([("year", pa.int64()), ("city", pa.string())])
    pads.write_dataset(
        pa.Table.from_pandas(ROWS),
        tmp_path / "data",
        format="parquet",
        partitioning=pads.partitioning(fields, flavor="hive"),
        max_rows_per_group=4,
        min_rows_per_group=4,
    )
    return tmp_path / "data"


@pytest.fixture
def queue(queue, tmp_path):
    """A queue whose workers may read the folder of the test."""
    return oqkit.connect(data_roots=[tmp_path])


def expected(folder, wanted=None):
    """Return what pyarrow reads of the folder, in the order of its files."""
    table = pads.dataset(folder, partitioning="hive").to_table(filter=wanted)
    return table.to_pandas().astype({"year": "int64"}).reset_index(drop=True)


def run(queue, job):
    work_off(queue, seen, total)
    return job.result(WAIT_S)


@pytest.mark.parametrize("shape", ("folder", "glob", "list"))
def test_folders_name_columns_of_one_type(queue, folder, shape):
    files = sorted(map(str, folder.rglob("*.parquet")))
    source = {"folder": str(folder), "glob": f"{folder}/*/*/*.parquet", "list": files}[shape]
    found = run(queue, queue.submit_dataset(source, seen, part_rows=7))
    assert len(set(found["dtypes"])) == 1
    assert found["number"].tolist() == list(range(60))
    pd.testing.assert_frame_equal(found[list(ROWS)], expected(folder))
    assert run(queue, queue.submit_dataset(source, total))["total"].tolist() == (found["x"] + found["year"]).tolist()


def test_only_columns_of_folders_are_asked_for(queue, folder):
    found = run(queue, queue.submit_dataset(str(folder), seen, columns=["city", "year"]))
    assert found["city"].tolist() == expected(folder)["city"].tolist()
    assert list(found) == ["city", "year", "number", "dtypes"]


def test_null_in_a_folder_is_null_in_its_column_and_all_slices_know_it(queue, tmp_path):
    for year in ("1", "__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / "data" / f"year={year}").mkdir(parents=True)
        pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "data" / f"year={year}" / "0.parquet")
    found = run(queue, queue.submit_dataset(str(tmp_path / "data"), seen, part_rows=1))
    assert len(set(found["dtypes"])) == 1
    assert found["year"].tolist()[:2] == [1.0, 1.0]
    assert found["year"].isna().tolist() == [False, False, True, True]


def test_files_in_folders_of_other_columns_are_named(queue, folder):
    (folder / "year=1").mkdir()
    (folder / "year=2024" / "city=Oslo" / "part-0.parquet").rename(folder / "year=1" / "odd.parquet")
    before = keys_in(queue)
    with pytest.raises(oqkit.SchemaError, match=r"year=…, city=….*all files of a dataset have the same"):
        queue.submit_dataset(str(folder), seen)
    assert keys_in(queue) == before


FILTERS = {
    "folder": pc.field("year") == 2024,
    "row group": pc.field("x") > 42,
    "scattered": pc.field("text").isin(["t1", "t5"]) & (pc.field("year") >= 2024),
    "nothing": pc.field("x") > 1000,
    "all": pc.field("x") >= 0,
    "computed": pc.match_substring_regex(pc.field("text"), "[03]$") | (pc.field("city") == "Oslo"),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("part_rows", (3, "auto"))
def test_rows_that_pass_a_filter_are_the_tasks_and_are_numbered_through(queue, folder, name, part_rows):
    wanted = expected(folder, FILTERS[name])
    job = queue.submit_dataset(str(folder), seen, filter=FILTERS[name], part_rows=part_rows)
    assert len(job) == len(wanted)
    found = run(queue, job)
    if len(wanted):
        pd.testing.assert_frame_equal(found[list(ROWS)], wanted)
        assert found["number"].tolist() == list(range(len(wanted)))
        assert len(set(found["dtypes"])) == 1
        pd.testing.assert_frame_equal(job.result(join=True)[list(ROWS)], wanted)


def test_filter_of_columns_that_the_function_is_not_given(queue, folder):
    job = queue.submit_dataset(str(folder), total, filter=[("text", "==", "t3"), ("city", "==", "Oslo")])
    wanted = expected(folder, (pc.field("text") == "t3") & (pc.field("city") == "Oslo"))
    assert run(queue, job)["total"].tolist() == (wanted["x"] + wanted["year"]).tolist()


def test_null_passes_no_filter(queue, tmp_path):
    pq.write_table(pa.table({"x": [1, None, 3, None]}), tmp_path / "0.parquet")
    assert len(queue.submit_dataset(f"{tmp_path}/0.parquet", seen, filter=pc.field("x") > 0)) == 2


def test_row_groups_that_are_ruled_out_are_neither_read_nor_uploaded(queue, folder):
    before = keys_in(queue)
    job = queue.submit_dataset(str(folder), seen, filter=pc.field("year") == 2024)
    new = [key for key in keys_in(queue) if key not in before and key.endswith(".parquet")]
    assert new == []
    stored = queue.repository.read_job(job.id).doc
    assert len(stored.input["dataset"]["files"]) == 2
    assert DATASETS in stored.requires


def test_same_filter_attaches_and_another_one_does_not(queue, folder):
    first = queue.submit_dataset(str(folder), seen, filter=pc.field("x") > 3)
    assert queue.submit_dataset(str(folder), seen, filter=[("x", ">", 3)]) == first
    assert queue.submit_dataset(str(folder), seen, filter=pc.field("x") > 4) != first
    assert queue.submit_dataset(str(folder), seen) != first


@pytest.mark.parametrize(
    ("wanted", "error", "told"),
    (
        (pc.field("z") > 1, oqkit.SchemaError, "does not go with the columns x: int64"),
        (pc.field("x") + 1, oqkit.SchemaError, "gives int64 for a row"),
        (pc.field("x") == "a b", oqkit.SchemaError, "does not go with the columns"),
        (5, oqkit.UsageError, "must be an expression"),
        ([("x", "~", 1)], oqkit.UsageError, "must be an expression"),
    ),
)
def test_filter_that_cannot_be_is_refused_before_anything_is_written(queue, folder, wanted, error, told):
    before = keys_in(queue)
    with pytest.raises(error, match=told):
        queue.submit_dataset(str(folder), seen, filter=wanted)
    assert keys_in(queue) == before


# --- pyarrow.dataset -----------------------------------------------------------------------------


def test_dataset_of_pyarrow_brings_its_filter_its_columns_and_its_types(queue, folder):
    fields = pa.schema([("year", pa.int16()), ("city", pa.string())])
    dataset = pads.dataset(folder, partitioning=pads.HivePartitioning(fields))
    dataset = dataset.replace_schema(pa.schema([dataset.schema.field(name) for name in ("year", "x")]))
    dataset = dataset.filter(pc.field("year") > 2023)
    found = run(queue, queue.submit_dataset(dataset, seen, filter=pc.field("x") < 50, part_rows=4))
    wanted = dataset.to_table(filter=pc.field("x") < 50).to_pandas()
    assert found["dtypes"].unique().tolist() == [str(wanted.dtypes.to_dict())]
    assert found[["year", "x"]].to_dict("list") == wanted.to_dict("list")


def test_dates_of_folders_keep_their_type(queue, tmp_path):
    table = pa.table({"x": [1, 2], "day": [dt.date(2024, 1, 2), dt.date(2025, 3, 4)]})
    partitioning = pads.partitioning(pa.schema([("day", pa.date32())]))
    pads.write_dataset(table, tmp_path / "data", format="parquet", partitioning=partitioning)
    job = queue.submit_dataset(pads.dataset(tmp_path / "data", partitioning=partitioning), seen)
    assert run(queue, job)["day"].tolist() == [dt.date(2024, 1, 2), dt.date(2025, 3, 4)]


def test_dataset_on_other_file_systems_is_found_by_its_paths(queue, folder):
    below = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))
    dataset = pads.dataset(paths, filesystem=below, partitioning="hive")
    job = queue.submit_dataset(dataset, total)
    wanted = expected(folder)
    assert run(queue, job)["total"].tolist() == (wanted["x"] + wanted["year"]).tolist()


def one_row_group(folder):
    one = next(iter(pads.dataset(next(folder.rglob("*.parquet"))).get_fragments()))
    return pads.FileSystemDataset([one.subset(row_group_ids=[0])], one.physical_schema, one.format, one.filesystem)


REFUSED = {
    "table": (lambda _: pads.dataset(pa.table({"x": [1]})), "submit_frame"),
    "union": (lambda folder: pads.dataset([pads.dataset(folder), pads.dataset(folder)]), "each of its children"),
    "types": (lambda folder: pads.dataset(folder, schema=pa.schema([("x", pa.float64())])), "'x' is double .* int64"),
    "column": (lambda folder: pads.dataset(folder, schema=pa.schema([("z", pa.int64())])), "no such column"),
    "row group": (one_row_group, "single row groups of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_dataset_that_workers_could_not_read_so_is_refused(queue, folder, name):
    make, told = REFUSED[name]
    before = keys_in(queue)
    with pytest.raises(oqkit.UsageError, match=told):
        queue.submit_dataset(make(folder), seen)
    assert keys_in(queue) == before
