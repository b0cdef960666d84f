"""How long a row takes, learned per function: workers choose the size of leases by it, submitters that of parts."""

from __future__ import annotations

import threading
from typing import Protocol

from oqkit.limits import TaskLimits
from oqkit.queue.job import Code


class Job(Protocol):
    """What tells one function from another: a job has it, and so has the specification of one."""

    @property
    def type(self) -> str: ...
    @property
    def code(self) -> Code: ...


class RowTimer:
    """Seconds a row, as an average in which each measurement lowers the weight of those before. Threads may share it."""

    def __init__(self, limits: TaskLimits) -> None:
        self._limits = limits
        self._seen: dict[tuple[str, str], tuple[float, float]] = {}
        self._lock = threading.Lock()

    def learn(self, job: Job, *, n_rows: int, elapsed_s: float) -> None:
        """Take in a measurement."""
        if n_rows <= 0:
            return
        with self._lock:
            rows, took_s = self._seen.get(_key(job), (0.0, 0.0))
            kept = self._limits.kept_share
            self._seen[_key(job)] = (kept * rows + n_rows, kept * took_s + elapsed_s)

    def row_s(self, job: Job) -> float | None:
        """Return the seconds a row, or None while unknown."""
        rows, took_s = self._seen.get(_key(job), (0.0, 0.0))
        return took_s / rows if rows else None

    def lease_rows(self, job: Job) -> tuple[int, int] | None:
        """Return how many rows the shortest and the longest lease that is worth it has; None while unknown."""
        row_s = self.row_s(job)
        if row_s is None:
            return None
        lengths_s = self._limits.least_s, self._limits.target_s
        least, most = (max(1, int(worth_s / max(row_s, 1e-9))) for worth_s in lengths_s)
        return least, most


def _key(job: Job) -> tuple[str, str]:
    return job.type, job.code.digest or job.code.reference
