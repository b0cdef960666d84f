"""Between leases and Parquet: a part's inputs for the worker, and the outcomes it hands back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from cachetools import LRUCache

from oqkit.arrow import tagged_json
from oqkit.arrow.batch import encode_batch
from oqkit.arrow.order import in_order
from oqkit.arrow.share import shares
from oqkit.errors import FormatError
from oqkit.payload import table_content  # noqa: F401 - lets fingerprints know frames: who has jobs to code has them to compare
from oqkit.payload.access import Access
from oqkit.payload.cache import ByteCache
from oqkit.payload.frame_schema import fitting
from oqkit.payload.guard import readable
from oqkit.payload.input import Input, input_of
from oqkit.payload.input_source import InputSource
from oqkit.payload.output import pack
from oqkit.queue.commit import Output
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.task.failure import Failure
from oqkit.worker.buffer import Results
from oqkit.worker.interface import Inputs


class ParquetCodec:
    """The codec of a queue: reads inputs, encodes outcomes. Threads may share it.

    Inputs outside of the queue are opened as far as `access` allows it; None allows none.
    """

    def __init__(self, repository: Repository, access: Access | None = None) -> None:
        self._repository = repository
        self._limits = repository.limits.payload
        self._access = access or Access()
        self._inputs: LRUCache[str, tuple[Input, InputSource]] = LRUCache(self._limits.kept_jobs)
        self._cache = ByteCache(self._limits.cache_bytes)
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

    def value(self, text: str) -> Any:
        """Read the value of a signal."""
        with readable("the value of a signal is"):
            return tagged_json.loads(text)

    def table(self, result: Any, n_rows: int) -> Any:
        """Check and convert what a batch function returned."""
        return encode_batch(result, n_rows)

    @property
    def in_order(self) -> Callable[[Any, Any], Any]:
        """Return the function that orders what a batch function returned by its index."""
        return in_order

    @property
    def shares(self) -> Callable[[Any, Any], Any]:
        """Return the function that says which rows of what a batch function returned are whose."""
        return shares

    @property
    def fitting(self) -> Callable[[Any, Any, int], tuple[Mapping[int, str], Any]]:
        """Return the function that finds what does not fit a schema."""
        return fitting

    def pack(
        self, results: Results, *, refuse: Callable[[int, str], Failure], inline_bytes: int
    ) -> tuple[Output | None, Mapping[int, Failure]]:
        """Encode results: as JSON of at most `inline_bytes` if they are few and plain, else as Parquet."""
        return pack(results, refuse=refuse, inline_bytes=inline_bytes, inline_rows=self._limits.inline_rows)


def _facts(job: Job) -> tuple[Any, ...]:
    """Return what tells the inputs of a job from those of another, which may have its id once it was deleted.

    Not the inputs themselves: to Python ``[1, 0]`` and ``[True, False]`` are equal.
    """
    return job.origin, job.n_tasks, job.part_rows
