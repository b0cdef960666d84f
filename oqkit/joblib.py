"""A backend for joblib: ``import oqkit.joblib``, then ``with joblib.parallel_config("oqkit"):``, and what uses joblib runs in a queue.

So does scikit-learn wherever it takes ``n_jobs``. joblib asks no package for backends, so it is the import that makes this one known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import ParallelBackendBase

from oqkit.client.connect import default_queue
from oqkit.client.diagnosis import is_at_hand
from oqkit.client.queue import Queue
from oqkit.door.task_executor import Executor
from oqkit.door.task_future import TaskFuture
from oqkit.queue.worker_record import WorkerRecord, workers

NAME = "oqkit"


def joblib_batch(batch: Callable[[], list[Any]]) -> list[Any]:
    """Make the calls that joblib dispatches at once."""
    return batch()


class QueueBackend(ParallelBackendBase):  # type: ignore[misc]  # which has no types
    """Makes calls of joblib tasks of `queue` (None: the default one); `options` are those of `oq.Executor`.

    With ``n_jobs=-1``, which is what it does by default, as many calls are under way as the workers of the queue can run,
    and as this machine has processors at least: a worker that has just started is not known yet.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, nesting_level: int | None = None, *, queue: Queue | None = None, **options: Any) -> None:
        super().__init__(nesting_level=nesting_level)
        self._queue = queue
        self._options = options
        self._executor: Executor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None or n_jobs < 0:
            return max(
                2, self._n_slots() + 1 + (-1 if n_jobs is None else n_jobs)
            )  # one would mean: not in the queue at all
        return n_jobs

    def _n_slots(self) -> int:
        repository = (self._queue or default_queue()).repository
        limits, now = repository.limits.client, repository.now()
        records = [one for one in workers(repository, most=limits.read_records) if isinstance(one, WorkerRecord)]
        there = [one for one in records if one.trusts_code and is_at_hand(one, now=now, late_s=limits.late_s)]
        return max(sum(one.concurrency for one in there), os.cpu_count() or 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        self.parallel = parallel
        self._executor = Executor(self._queue, **self._options)
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], object] | None = None) -> TaskFuture:
        if self._executor is None:
            raise RuntimeError("this backend is not configured, or was terminated")
        future = self._executor.submit(joblib_batch, func)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: TaskFuture) -> Any:
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT001, FBT002 - as in the base class
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = Executor(self._queue, **self._options) if ensure_ready else None

    def terminate(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None


register_parallel_backend(NAME, QueueBackend)
