"""Where the inputs of one job are read: its own files in the queue, and what this machine opens for it elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from oqkit.errors import NotAllowed
from oqkit.payload.access import Access
from oqkit.payload.cache import ByteCache
from oqkit.payload.parquet import PayloadReader, PayloadRef
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository

R = TypeVar("R")


class InputSource:
    """What a kind of inputs reads those of one job with; remembers their reader. Threads may share it."""

    def __init__(self, repository: Repository, job: Job, *, access: Access, cache: ByteCache) -> None:
        self.repository = repository
        self.job = job
        self.access = access
        self.cache = cache
        self._lock = threading.Lock()
        self._reader: Any = None

    def of(self, job: Job) -> InputSource:
        """Return where the inputs of another job are read."""
        return InputSource(self.repository, job, access=self.access, cache=self.cache)

    def files(self, refs: Sequence[PayloadRef]) -> PayloadReader:
        """Return the one reader of the job's own files, or raise `NotAllowed` if these are those of others."""
        return self.once(lambda: self.reader(refs))

    def reader(self, refs: Sequence[PayloadRef]) -> PayloadReader:
        """Make a reader of the job's own files, or raise `NotAllowed` if these are those of others."""
        limits = self.repository.limits.payload
        return PayloadReader(self.repository.store, self._own(refs), limits=limits, cache=self.cache)

    def once(self, make: Callable[[], R]) -> R:
        """Return the one reader of these inputs, which remembers what it has read; `make` makes it."""
        with self._lock:
            if self._reader is None:
                self._reader = make()
            return cast("R", self._reader)

    def _own(self, refs: Sequence[PayloadRef]) -> Sequence[PayloadRef]:
        folder = self.repository.keys_of(self.job).folder
        other = next((ref.key for ref in refs if not ref.key.startswith(folder)), None)
        if other is not None:
            raise NotAllowed(f"job {self.job.id} asks for {other!r}, which is not among its own files, below {folder}")
        return refs
