"""The results of a job as Parquet files: one where the user says, or some in the job's own folder, which engines read in place."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from oqkit.client.connection import Connection
from oqkit.client.result_table import Chunked
from oqkit.client.store_files import opened_files
from oqkit.config import LOCAL, canonical_protocol
from oqkit.errors import FormatError, Missing
from oqkit.payload.access import check_paths
from oqkit.payload.guard import readable, typed
from oqkit.queue.document import FORMAT, dump, load
from oqkit.queue.job import Job

_VERSION: Final = 1
"""Of what the files hold: those of another one are written anew."""


def write_parquet(table: Chunked, path: str, connection: Connection) -> None:
    """Write results to one file, which appears under its name once it is whole, and replaces what was there."""
    check_paths([path])
    with _appearing(path, connection) as sink, pq.ParquetWriter(sink, table.schema()) as writer:
        for chunk in table.chunks():
            writer.write_table(chunk)


@contextmanager
def _appearing(path: str, connection: Connection) -> Iterator[IO[bytes]]:
    """Open a file that is there once it was written without an error."""
    protocol = canonical_protocol(path.partition("://")[0] if "://" in path else LOCAL)
    system: Any = connection.access.system(protocol, path.rpartition("://")[2], {})
    plain = system._strip_protocol(path)  # noqa: SLF001 - fsspec's own word for it
    if protocol == LOCAL:
        with _draft(plain) as file:
            yield file
        return
    file = system.open(plain, "wb", autocommit=False)
    try:
        yield file
        file.close()
        file.commit()
    except BaseException:
        file.discard()
        raise


@contextmanager
def _draft(path: str) -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place at the end."""
    folder, name = os.path.split(path)
    number, draft = tempfile.mkstemp(prefix=f".{name}.", suffix=".draft", dir=folder)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(draft, 0o666 & ~mask)  # noqa: PTH101 - as an ordinary file has it
        os.replace(draft, path)  # noqa: PTH105 - with both names at hand
    except BaseException:
        os.unlink(draft)  # noqa: PTH108 - as above
        raise


# --- in the job's folder -------------------------------------------------------------------------


def dataset_of(connection: Connection, job: Job, facts: list[Any], make: Any) -> pads.Dataset:
    """Return the results that `facts` tell as a dataset: of the files that are there for them, or else written now.

    `make` gives their `ResultTable`. A list of the files is written last, so what it names is whole.
    """
    repository = connection.repository
    digest = hashlib.sha256(json.dumps([_VERSION, job.origin, facts]).encode()).hexdigest()[:32]
    stem = f"{repository.keys_of(job).folder}result/{digest}"
    try:
        sizes = _sizes(repository.store.read(f"{stem}.json").data, what=f"{stem}.json")
    except Missing:
        sizes = []
        for number, data in enumerate(_encoded(make(), file_bytes=repository.limits.payload.file_bytes)):
            repository.loop.put_once(_key(stem, number), data)
            sizes.append(len(data))
        repository.loop.put_once(f"{stem}.json", dump({"format": FORMAT, "requires": [], "sizes": sizes}))
    files = {_key(stem, number): size for number, size in enumerate(sizes)}
    system, paths = opened_files(connection, files)
    return pads.dataset(paths, filesystem=system, format="parquet")


def _key(stem: str, number: int) -> str:
    return f"{stem}-{number:05}.parquet"


def _sizes(data: bytes, *, what: str) -> list[int]:
    with readable(f"{what} is"):
        sizes = [typed(size, int) for size in typed(load(data, what=what)["sizes"], list)]
    if not sizes:
        raise FormatError(f"{what} names no files")
    return sizes


def _encoded(table: Chunked, *, file_bytes: int) -> Iterator[bytes]:
    """Yield Parquet files; one ends with the chunk that takes it past `file_bytes`. Without rows there is one."""
    schema, chunks = table.schema(), table.chunks()
    chunk: pa.Table | None = next(chunks, schema.empty_table())
    while chunk is not None:
        sink = io.BytesIO()
        with pq.ParquetWriter(sink, schema) as writer:
            while chunk is not None and sink.tell() <= file_bytes:
                writer.write_table(chunk)
                chunk = next(chunks, None)
        yield sink.getvalue()
