"""Where the items of one call of `map(key=)` are: some of them as tasks of other jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from oqkit.errors import FormatError, Missing
from oqkit.payload.guard import readable
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows

PLACES: Final = "places"
"""What stands in the input of a job whose call had other items as well: the key of the list of all."""
_SCHEMA: Final = pa.schema({"job": pa.string(), "row": pa.int64()})


def is_part(job: Job) -> bool:
    """Whether a job has not all the items of its call."""
    return PLACES in job.input


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlaces:
    """The task of each item, in the order of the call."""

    job: np.ndarray
    """Objects: ids of jobs."""
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def jobs(self) -> list[str]:
        """The jobs that have some, each once."""
        return list(dict.fromkeys(self.job))

    def rows(self, job_id: str) -> Rows:
        """Return which rows of a job are items of the call."""
        return Rows.of(self.row[self.job == job_id].tolist())

    def positions(self, job_id: str, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (positions in the call, places in `rows`) of the items that are these rows of a job."""
        here = np.flatnonzero(self.job == job_id)
        order = np.argsort(np.asarray(rows, "int64"), kind="stable")
        sorted_rows = np.asarray(rows, "int64")[order]
        found = np.searchsorted(sorted_rows, self.row[here])
        fits = found < len(sorted_rows)
        fits[fits] = sorted_rows[found[fits]] == self.row[here][fits]
        return here[fits], order[found[fits]]

    def dump(self) -> bytes:
        """Write it as Parquet."""
        sink = pa.BufferOutputStream()
        columns = [pa.array(self.job, pa.string()), pa.array(self.row, pa.int64())]
        pq.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), sink, compression="zstd")
        return bytes(sink.getvalue())

    @classmethod
    def load(cls, data: bytes, *, what: Any) -> ItemPlaces:
        """Read it, or raise `FormatError`."""
        with readable(f"the list of items of {what} is"):
            table = pq.read_table(pa.BufferReader(data))
            if table.schema.remove_metadata() != _SCHEMA or any(column.null_count for column in table.columns):
                raise ValueError(f"its columns are {table.schema.names}")
            return cls(job=table["job"].to_numpy(), row=table["row"].to_numpy())


def read_places(repository: Repository, job: Job) -> ItemPlaces:
    """Return where the items are of the call that a job was made for, or raise `FormatError`."""
    key = job.input[PLACES]
    if not isinstance(key, str) or not key.startswith(repository.keys_of(job).folder):
        raise FormatError(f"job {job.id} lists its items in {key!r:.80}, which is not its own")
    try:
        data = repository.store.read(key).data
    except Missing:
        raise FormatError(f"the list of items of job {job.id} is gone") from None
    return ItemPlaces.load(data, what=f"job {job.id}")
