"""A job's state as a reader sees it: a cache of its parts that reads only what changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from oqkit.queue import key as keys
from oqkit.queue.cas import PART, Versioned
from oqkit.queue.job import ControlVerb, Job, concerned, is_settled
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.transition import Status, Verb


class JobView:
    """What the parts of one job said at the last `refresh`; final when every task is."""

    def __init__(self, repository: Repository, job: Job) -> None:
        self._repository = repository
        self.job = job
        self._parts: dict[int, Versioned[Part]] = {}  # replaced, never changed: another thread may be reading it
        self._lock = threading.Lock()
        self._refreshed: float | None = None

    def refresh(self, *, unless_within_s: float = 0.0) -> None:
        """Read what changed: one LIST per 1,000 parts and one GET per changed part; one GET for a single part.

        Threads may share a view: they take turns, and whoever finds it not older than `unless_within_s` asks nothing.
        """
        with self._lock:
            now = self._repository.store.clock.monotonic()
            if self._refreshed is not None and now - self._refreshed < unless_within_s:
                return
            changed = [0] if self.job.n_parts == 1 else self._changed()
            found = {held.doc.index: held for held in self._repository.map(self._read, changed) if held is not None}
            self._parts = {**self._parts, **found}
            if any(held.doc.gen > self.job.gen for held in self._parts.values()):
                self.reload()
            self._refreshed = self._repository.store.clock.monotonic()

    def reload(self) -> None:
        """Read the job object again, to see orders given elsewhere; drops nothing that is known of the parts."""
        self.job = self._repository.read_job(self.job.id).doc

    def _changed(self) -> list[int]:
        pages = self._repository.store.list_all(self._repository.keys_of(self.job).parts)
        found = keys.part_etags((entry for page in pages for entry in page.entries), n_parts=self.job.n_parts)
        return [n for n, etag in found.items() if n not in self._parts or self._parts[n].etag != etag]

    def _read(self, index: int) -> Versioned[Part] | None:
        known = self._parts.get(index)
        key = self._repository.keys_of(self.job).part(index)
        if known is None or known.etag is None:
            held = self._repository.read_part(self.job, index)
            return held if held.etag is not None else None
        blob = self._repository.store.read_changed(key, etag=known.etag)
        return None if blob is None else Versioned(PART.load(blob.data, key), blob.etag)

    # --- what it says ----------------------------------------------------------------------------

    def parts(self) -> Iterator[Part]:
        """Yield the state of every part, in order; untouched ones as fresh."""
        return (self.part(index) for index in range(self.job.n_parts))

    def touched(self) -> list[Part]:
        """Return the parts that have a state object, in order."""
        return [self._parts[index].doc for index in sorted(self._parts)]

    def part(self, index: int) -> Part:
        """Return the state of one part."""
        held = self._parts.get(index)
        return held.doc if held else self.job.fresh_part(index)

    def now(self) -> float:
        """Return the store's time in epoch seconds."""
        return self._repository.now()

    def counts(self) -> dict[Status, int]:
        """Return how many tasks are in each status; sums to the number of tasks."""
        total = dict.fromkeys(Status, 0)
        touched = 0
        for held in self._parts.values():
            touched += held.doc.n_rows
            for status, n in held.doc.counts().items():
                total[status] += n
        total[Status.PENDING] += self.job.n_tasks - touched
        return total

    @property
    def is_final(self) -> bool:
        """Whether every task has a final status, written in its part, that no order given will change."""
        if len(self._parts) < self.job.n_parts:
            return False
        return all(is_settled(held.doc, self.job) for held in self._parts.values())

    @property
    def is_started(self) -> bool:
        """Whether any worker has ever claimed a task."""
        return any(held.doc.log for held in self._parts.values())

    @property
    def workers(self) -> set[str]:
        """Who runs rows."""
        running = ((held.doc, run.lease) for held in self._parts.values() for run in held.doc.runs if run.lease)
        return {part.lease(lease_id).worker for part, lease_id in running}

    def pace(self) -> tuple[int, float]:
        """Return how many rows the logs of the parts tell the running time of, and that time in seconds."""
        logged = (event for held in self._parts.values() for event in held.doc.log)
        timed = [event for event in logged if event.verb is Verb.COMPLETE and event.took_s]
        return sum(event.n_rows for event in timed), sum(event.took_s for event in timed)

    @property
    def status(self) -> str:
        """One word for the whole job.

        ``completed``, ``failed`` (some task failed), ``cancelled`` or ``expired`` when every task is
        final; before that ``cancelling``, ``paused``, ``running`` or ``pending``.
        """
        counts = self.counts()
        if self.is_final:
            worst = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
            return next((status for status in worst if counts[status]), Status.COMPLETED)
        if self._is_cancelling():
            return "cancelling"
        if self.job.pause(self.now()) is not None:
            return "paused"
        return Status.RUNNING if self.is_started else Status.PENDING

    def _is_cancelling(self) -> bool:
        if not self.job.controls or self.job.controls[-1].verb is not ControlVerb.CANCEL:
            return False
        return any(self.part(index).gen < self.job.gen for index in concerned(self.job, self.job.controls[-1]))
