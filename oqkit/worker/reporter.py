"""A worker's report of itself, for people to look at. A duty."""

from __future__ import annotations

import threading
from dataclasses import replace

from oqkit.observe.event import LeaseEnded
from oqkit.queue.repository import Repository
from oqkit.queue.worker_record import WorkerRecord, put_worker
from oqkit.worker.registry import HandlerRegistry


class Report:
    """Writes the worker's record when it starts and stops, when it leaves a job alone, and every minute while it works.

    Else now and then; but what it leaves alone is only worth something if it is known that it still lives.
    """

    name = "report"

    def __init__(self, repository: Repository, record: WorkerRecord, registry: HandlerRegistry) -> None:
        self._repository = repository
        self._limits = repository.limits.worker
        self._record = record
        self._registry = registry
        self._n_rows = 0
        """How many rows were worked off."""
        self._lock = threading.Lock()
        self._started: float | None = None
        self._at = float("-inf")
        self._n_reported = self._n_changes = 0

    def count(self, end: LeaseEnded) -> None:
        """Take in what a lease gave."""
        with self._lock:
            self._n_rows += end.n_finished

    def wait_s(self) -> float:
        """Return how long there is nothing to do, in seconds."""
        is_news = self._registry.n_changes != self._n_changes
        every_s = self._limits.report_news_s if is_news else self._every_s(is_busy=self._n_rows != self._n_reported)
        return max(0.0, self._at + every_s - self._repository.store.clock.monotonic())

    def _every_s(self, *, is_busy: bool) -> float:
        return self._limits.report_busy_s if is_busy or self._registry.noted() else self._limits.report_idle_s

    def perform(self) -> None:
        """Write the record."""
        self._at, self._n_reported = self._repository.store.clock.monotonic(), self._n_rows
        self._n_changes = self._registry.n_changes
        self._put(is_stopped=False)

    def leave(self) -> None:
        """Write that the worker has stopped."""
        self._put(is_stopped=True)

    def _put(self, *, is_stopped: bool) -> None:
        now = self._repository.now()
        self._started = now if self._started is None else self._started
        record = replace(
            self._record,
            started=self._started,
            seen=now,
            n_rows=self._n_rows,
            refusals=self._registry.noted(),
            every_s=self._every_s(is_busy=False),
            requests=dict(self._repository.store.requests.snapshot()),
            is_stopped=is_stopped,
        )
        put_worker(self._repository, record)
