"""A stream of record batches, which can be read once, as a table: a large one lies on disk, and memory holds what is looked at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

IN_MEMORY_BYTES: Final = 64 << 20


def spooled(reader: pa.RecordBatchReader, *, memory_bytes: int = IN_MEMORY_BYTES) -> pa.Table:
    """Read a stream to its end, and return all of its rows.

    Of at most `memory_bytes` they stay in memory; more lie in a temporary file, mapped into memory, which is gone with the table.
    """
    batches: list[pa.RecordBatch] = []
    n_bytes = 0
    for batch in reader:
        batches.append(batch)
        n_bytes += batch.nbytes
        if n_bytes > memory_bytes:
            return _on_disk(reader, batches)
    return pa.Table.from_batches(batches, schema=reader.schema)


def _on_disk(reader: pa.RecordBatchReader, batches: list[pa.RecordBatch]) -> pa.Table:
    handle, path = tempfile.mkstemp(prefix="oqkit-", suffix=".arrow")
    os.close(handle)
    try:
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, reader.schema) as writer:
            for batch in _taken(batches, reader):
                writer.write_batch(batch)
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    finally:
        with suppress(OSError):  # Windows keeps a file that is mapped
            Path(path).unlink()


def _taken(batches: list[pa.RecordBatch], reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Yield the batches that were read, which are let go, and then the others."""
    while batches:
        yield batches.pop(0)
    yield from reader
