"""A stream of record batches as a table: what it holds, and where that lies."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

from oqkit.arrow.digest import hash_table
from oqkit.arrow.spool import spooled

TABLE = pa.table({"n": range(1000), "text": [str(n) if n % 7 else None for n in range(1000)]}, metadata={b"by": b"me"})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("memory_bytes", (0, 2_000, 1 << 30))
def test_spooled_table_is_that_of_the_stream(memory_bytes):
    found = spooled(TABLE.to_reader(max_chunksize=100), memory_bytes=memory_bytes)
    assert found.equals(TABLE, check_metadata=True)
    assert hash_table(found) == hash_table(TABLE)


def test_large_stream_takes_no_memory_and_leaves_no_file(folder):
    before = pa.total_allocated_bytes()
    table = pa.table({"n": range(1_000_000)})
    size, reader = table.nbytes, table.to_reader(max_chunksize=1_000)
    held = pa.total_allocated_bytes()
    found = spooled(reader, memory_bytes=10_000)
    assert pa.total_allocated_bytes() - held < size / 20
    assert found.num_rows == 1_000_000
    assert list(Path(folder).iterdir()) == []
    assert before <= held


def test_stream_that_breaks_leaves_no_file(folder):
    def batches():
        yield from TABLE.to_batches(max_chunksize=100)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        spooled(pa.RecordBatchReader.from_batches(TABLE.schema, batches()), memory_bytes=0)
    assert list(Path(folder).iterdir()) == []


def test_empty_stream_is_a_table_without_rows():
    assert spooled(TABLE.slice(0, 0).to_reader()).equals(TABLE.slice(0, 0))
