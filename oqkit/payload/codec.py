"""Between leases and Parquet: a part's inputs for the worker, and the outcomes it hands back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from cachetools import LRUCache

from oqkit.arrow.batch import encode_batch
from oqkit.arrow.order import in_order
from oqkit.arrow.unify import unify
from oqkit.arrow.value import encode_values
from oqkit.errors import FormatError, SchemaError
from oqkit.payload.access import Access
from oqkit.payload.cache import ByteCache
from oqkit.payload.guard import readable
from oqkit.payload.input import Input, input_of
from oqkit.payload.input_source import InputSource
from oqkit.payload.output import encode_inline, encode_outcomes
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.task.failure import Failure
from oqkit.worker.interface import Finished, Inputs, Packed

INLINE_BYTES = 8192
_MAX_JOBS = 16
"""Of how many jobs it is remembered what their inputs are."""


class ParquetCodec:
    """The codec of a queue: reads inputs, encodes outcomes. Threads may share it.

    Inputs outside of the queue are opened as far as `access` allows it; None allows none.
    """

    def __init__(self, repository: Repository, access: Access | None = None) -> None:
        self._repository = repository
        self._access = access or Access()
        self._inputs: LRUCache[str, tuple[Input, InputSource]] = LRUCache(_MAX_JOBS)
        self._cache = ByteCache(repository.limits.payload.cache_bytes)
        self._lock = threading.Lock()

    def open(self, job: Job, index: int) -> Inputs:
        """Read the inputs of a part.

        Raise `FormatError` if this oqkit does not know their kind, or if they cannot be read, whatever is the matter with
        them; `NotAllowed` if they lie where this machine does not read; and the errors of the store.
        """
        with readable(f"the inputs of job {job.id} are"):
            stored, source = self.inputs(job)
            inputs = stored.part(source, index)
        found, wanted = len(inputs), job.part_size(index)
        if found != wanted:
            raise FormatError(f"the inputs of part {index} of job {job.id} have {found:,} rows, not {wanted:,}")
        return inputs

    def inputs(self, job: Job) -> tuple[Input, InputSource]:
        """Return what the inputs of a job are, and where they are read; the same source while it is asked for now and then.

        Raise `FormatError` if this oqkit does not know their kind, or cannot read what the job says of them.
        """
        with self._lock:
            known = self._inputs.get(job.id)
            if known is None or _facts(known[1].job) != _facts(job):
                source = InputSource(self._repository, job, access=self._access, cache=self._cache)
                known = self._inputs[job.id] = input_of(job), source
            return known

    def table(self, result: Any, n_rows: int) -> Any:
        """Check and convert what a batch function returned."""
        return encode_batch(result, n_rows)

    @property
    def in_order(self) -> Callable[[Any, Any], Any]:
        """Return the function that orders what a batch function returned by its index."""
        return in_order

    def pack(self, finished: Finished, *, refuse: Callable[[int, str], Failure], has_room: bool = True) -> Packed:
        """Encode outcomes: as JSON if they are few and plain, and the part has room for that, else as Parquet."""
        numbers = [_numbers(finished.rows)]
        tables = [table for _, table in finished.tables]
        refused: dict[int, Failure] = {}
        if finished.rows:
            values, bad = encode_values(finished.values)
            refused = {row: refuse(row, message) for row, message in ((finished.rows[n], m) for n, m in bad.items())}
            tables.insert(0, values)
        numbers += [np.asarray(rows.numbers(), "int64") for rows, _ in finished.tables]
        rows = np.concatenate(numbers)
        if not len(rows) and not finished.failures:
            return Packed()
        values = pa.concat_tables(unify(tables)) if len(tables) > 1 else tables[0] if tables else None
        failures = {**finished.failures, **refused}
        inline = encode_inline(rows, values, failures, limit_bytes=INLINE_BYTES if has_room else 0)
        if inline is not None:
            return Packed(inline=inline, refused=refused)
        try:
            return Packed(data=encode_outcomes(rows, values, failures), refused=refused)
        except SchemaError as error:
            refused |= {row: refuse(row, f"row {row}: {error}") for row in _unwritable(rows, values)}
            return Packed(data=encode_outcomes(rows, values, {**failures, **refused}), refused=refused)


def _unwritable(rows: np.ndarray, values: pa.Table) -> list[int]:
    """Return the rows whose values Parquet cannot hold, or all of them if it is only together that it cannot."""

    def bad(first: int, stop: int) -> list[int]:
        try:
            encode_outcomes(rows[first:stop], values.slice(first, stop - first), {})
        except SchemaError:
            middle = (first + stop) // 2
            return [first] if stop - first == 1 else [*bad(first, middle), *bad(middle, stop)]
        return []

    found = [int(rows[place]) for place in bad(0, len(rows))]
    return found or rows.tolist()


def _facts(job: Job) -> tuple[Any, ...]:
    """Return what tells the inputs of a job from those of another, which may have its id once it was deleted."""
    return job.input, job.n_tasks, job.part_rows


def _numbers(rows: Sequence[int]) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, range) else np.asarray(rows, "int64")
