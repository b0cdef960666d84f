"""CSV and JSON lines as the input of a job."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pytest

import oqkit
from oqkit.limits import Limits, PayloadLimits
from tests.local import WAIT_S, connect_with, keys_in, work_off

PIECE = 300
"""Bytes: so that small files are read in many pieces."""


@oqkit.task(batch=True)
def seen(frame):
    """Return what the function is given, its row numbers and its dtypes."""
    return frame.assign(number=frame.index, dtypes=str(frame.dtypes.to_dict()))


@oqkit.task
def twice(x):
    return 2 * x


@pytest.fixture
def queue(queue, tmp_path, monkeypatch):
    """A queue that reads small pieces, and whose workers may read the folder of the test."""
    connect_with(Limits(payload=PayloadLimits(text_bytes=PIECE)), monkeypatch)
    return oqkit.connect(data_roots=[tmp_path])


@pytest.fixture
def pieces(queue):
    """Say how many pieces the files of a job have."""
    return lambda job: sum(len(file[5]) - 1 for file in queue.repository.read_job(job.id).doc.input["dataset"]["files"])


def run(queue, job):
    work_off(queue, seen, twice)
    return job.result(WAIT_S)


def checked(found, expected):
    """See that slices have one set of dtypes, those of the whole, and its values."""
    assert found["number"].tolist() == list(range(len(expected)))
    assert set(found["dtypes"]) == {str(expected.dtypes.to_dict())}
    for name in expected:
        assert [repr(value) for value in found[name]] == [repr(value) for value in expected[name]], name


ROWS = pd.DataFrame(
    {
        "x": range(200),
        "f": [f"{number / 7}" if number > 150 else str(number) for number in range(200)],
        "text": [f'say "{number}",\nplease' if number % 3 else f"naïve {number}" for number in range(200)],
        "gap": [None if number == 190 else number for number in range(200)],
        "when": [str(pd.Timestamp("2024-01-01") + pd.Timedelta(number, "h")) for number in range(200)],
        "flag": [number % 2 == 0 for number in range(200)],
        "none": [None] * 200,
    }
).astype({"gap": "Int64"})


@pytest.mark.parametrize("delimiter", (",", ";", "\t"))
@pytest.mark.parametrize("part_rows", (9, "auto"))
def test_csv_is_read_in_pieces_as_in_one(queue, pieces, tmp_path, delimiter, part_rows):
    path = tmp_path / ("rows.tsv" if delimiter == "\t" else "rows.csv")
    ROWS.to_csv(path, index=False, sep=delimiter)
    job = queue.submit_dataset(str(path), seen, part_rows=part_rows, delimiter=None if delimiter == "\t" else delimiter)
    assert pieces(job) > 10
    options = pacsv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
    whole = pacsv.read_csv(
        path, parse_options=options, convert_options=pacsv.ConvertOptions(column_types={"none": "string"})
    )
    checked(run(queue, job), whole.to_pandas())


@pytest.mark.parametrize("part_rows", (9, "auto"))
def test_json_lines_are_read_in_pieces_as_in_one(queue, pieces, tmp_path, part_rows):
    rows = [
        {
            "x": number,
            "f": number / 4 if number > 150 else number,
            "s": f"ä\\n{number}",
            "l": [number],
            "d": {"a": number},
        }
        | ({"late": True} if number > 180 else {})
        for number in range(200)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    job = queue.submit_dataset(str(tmp_path / "rows.jsonl"), seen, part_rows=part_rows)
    assert pieces(job) > 10
    found = run(queue, job)
    whole = pajson.read_json(tmp_path / "rows.jsonl").to_pandas()
    assert set(found["dtypes"]) == {str(whole.dtypes.to_dict())}
    for name in ("x", "f", "s", "late"):
        assert found[name].isna().tolist() == whole[name].isna().tolist()
        assert found[name].dropna().tolist() == whole[name].dropna().tolist()
    assert [list(value) for value in found["l"]] == [[number] for number in range(200)]
    assert found["d"].tolist() == [{"a": number} for number in range(200)]


def test_files_of_a_folder_share_types_and_folders_name_columns(queue, tmp_path):
    for year, values in ((2023, "1\n2"), (2024, "3.5\n")):
        folder = tmp_path / "data" / f"year={year}"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text(f"x\n{values}")
    found = run(queue, queue.submit_dataset(str(tmp_path / "data"), seen))
    assert found[["x", "year"]].to_dict("list") == {"x": [1.0, 2.0, 3.5], "year": [2023, 2023, 2024]}
    assert run(queue, queue.submit_dataset(str(tmp_path / "data"), twice))["twice"].tolist() == [2.0, 4.0, 7.0]


def test_types_that_are_given_are_taken(queue, tmp_path):
    (tmp_path / "a.csv").write_text("zip,x\n00123,1\n04567,2\n")
    job = queue.submit_dataset(str(tmp_path / "a.csv"), seen, types={"zip": "string", "x": pa.float32()})
    found = run(queue, job)
    assert found["zip"].tolist() == ["00123", "04567"]
    assert "float32" in found["dtypes"][0]
    assert run(queue, queue.submit_dataset(str(tmp_path / "a.csv"), seen))["zip"].tolist() == [123, 4567]


def test_numbers_that_no_float_can_hold_stay_as_they_are(queue, tmp_path):
    lines = [str(2**60 + number) for number in range(60)] + [f"{number}.5" for number in range(60)]
    (tmp_path / "a.csv").write_text("x\n" + "\n".join(lines))
    assert run(queue, queue.submit_dataset(str(tmp_path / "a.csv"), seen))["x"].tolist() == lines
    (tmp_path / "a.jsonl").write_text("\n".join(f'{{"x": {line}}}' for line in lines))
    with pytest.raises(oqkit.SchemaError, match=r"a\.jsonl.*'x' holds int64 and double"):
        queue.submit_dataset(str(tmp_path / "a.jsonl"), seen)


def test_rows_of_text_that_pass_a_filter_are_the_tasks(queue, tmp_path):
    ROWS.to_csv(tmp_path / "rows.csv", index=False)
    wanted = (pc.field("x") % 50 == 7) if hasattr(pc.field("x"), "__mod__") else pc.field("x").isin([7, 57, 107, 157])
    job = queue.submit_dataset(str(tmp_path / "rows.csv"), twice, filter=wanted)
    assert run(queue, job)["twice"].tolist() == [14, 114, 214, 314]


def test_record_longer_than_a_piece_is_read(queue, tmp_path):
    rows = pd.DataFrame({"x": [1, 2, 3], "text": ["a", "long\n" * 200, "b"]})
    rows.to_csv(tmp_path / "a.csv", index=False)
    assert run(queue, queue.submit_dataset(str(tmp_path / "a.csv"), seen))["text"].tolist() == rows["text"].tolist()


@pytest.mark.parametrize("end", ("\n", "\r\n"))
@pytest.mark.parametrize("mark", ("", "\ufeff"))
@pytest.mark.parametrize("last", (True, False))
def test_ends_of_lines_and_marks_make_no_difference(queue, tmp_path, end, mark, last):
    text = mark + "x,s" + end + "".join(f'{number},"a{end}b"{end}' for number in range(99)) + "99,c" + end * last
    (tmp_path / "a.csv").write_bytes(text.encode())
    found = run(queue, queue.submit_dataset(str(tmp_path / "a.csv"), seen))
    assert found["x"].tolist() == list(range(100))
    assert found["s"].tolist() == [f"a{end}b"] * 99 + ["c"]


def test_generated_tables_come_as_pyarrow_reads_them_in_one(queue, tmp_path):
    rng = np.random.default_rng(0)
    alphabet = ['"', ",", "\n", "a", "ä", " ", "0", "7", ".", "-", "", "true", "2024-01-01"]
    for number in range(12):
        n_rows = int(rng.integers(1, 120))
        rows = pd.DataFrame(
            {f"c{k}": ["".join(rng.choice(alphabet, rng.integers(0, 5))) for _ in range(n_rows)] for k in range(3)}
        ).assign(x=range(n_rows))
        path = tmp_path / f"{number}.csv"
        rows.to_csv(path, index=False)
        types = {f"c{k}": "string" for k in range(3)}
        found = run(queue, queue.submit_dataset(str(path), seen, types=types, part_rows=11))
        assert found[list(rows)].to_dict("list") == rows.to_dict("list"), number


REFUSED = {
    "quote in a value": ("a.csv", b'x,y\n5" pipe,1\n6" pipe,2\n', {}, "a quote stands within a value"),
    "fewer values": ("a.csv", b"x,y\n1,2\n3\n", {}, r"a\.csv, bytes 0 to .*Expected 2 columns"),
    "header twice": ("a.csv", b"x,x\n1,2\n", {}, "names a column twice"),
    "other type": ("a.csv", b"x\n1\nb\n", {"types": {"x": "int64"}}, r"a\.csv, bytes .*conversion error"),
    "unknown column": ("a.csv", b"x\n1\n", {"types": {"z": "int64"}}, "types= names the column 'z'"),
    "unknown type": ("a.csv", b"x\n1\n", {"types": {"x": "money"}}, "must be a pyarrow.Schema"),
    "no text": ("a.csv", b"x\n\xff\xfe\n", {"types": {"x": "string"}}, r"a\.csv, bytes .*UTF"),
    "no JSON": ("a.jsonl", b'{"x": 1}\n{"x": \n', {}, r"a\.jsonl, bytes .*JSON"),
    "mixed JSON": ("a.jsonl", b'{"x": 1}\n{"x": "a"}\n', {}, r"a\.jsonl, bytes"),
    "compressed": ("a.csv.gz", b"", {}, "is compressed"),
    "delimiter": ("a.csv", b"x\n1\n", {"delimiter": "ab"}, "must be one character"),
    "format": ("a.csv", b"x\n1\n", {"format": "xml"}, "must be one of 'parquet', 'csv', 'jsonl'"),
    "empty": ("a.csv", b"", {}, "has no columns"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_text_that_cannot_be_read_exactly_is_refused_before_anything_is_written(queue, tmp_path, name):
    path, data, options, told = REFUSED[name]
    (tmp_path / path).write_bytes(data)
    before = keys_in(queue)
    with pytest.raises(oqkit.UsageError, match=told):
        queue.submit_dataset(str(tmp_path / path), seen, **options)
    assert keys_in(queue) == before


def test_file_of_another_name_is_what_it_is_said_to_be(queue, tmp_path):
    (tmp_path / "export.txt").write_text("x\n1\n2\n")
    job = queue.submit_dataset(str(tmp_path / "export.txt"), twice, format="csv")
    assert run(queue, job)["twice"].tolist() == [2, 4]


def test_same_text_attaches_and_other_types_do_not(queue, tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    first = queue.submit_dataset(str(tmp_path / "a.csv"), twice)
    assert queue.submit_dataset(str(tmp_path / "a.csv"), twice) == first
    assert queue.submit_dataset(str(tmp_path / "a.csv"), twice, types={"x": "float64"}) != first
