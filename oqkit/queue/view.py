"""A job as a reader sees it: `JobState` is what one refresh saw, and `JobView` asks only for what changed since."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from oqkit.errors import FormatError, JobMissing, Missing, UnknownJob
from oqkit.queue import key as keys
from oqkit.queue.cas import Versioned
from oqkit.queue.job import ControlVerb, Job, check_orders, concerned, is_settled
from oqkit.queue.part import Part
from oqkit.queue.progress import Progress
from oqkit.queue.repository import Repository
from oqkit.queue.transition import Status, Verb


class JobStatus(StrEnum):
    """How a job is as a whole."""

    PENDING = "pending"
    """Nothing of it was ever claimed."""
    RUNNING = "running"
    PAUSED = "paused"
    BLOCKED = "blocked"
    """It waits for other jobs to end."""
    CANCELLING = "cancelling"
    """An order to cancel is not carried out everywhere yet."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Every task has ended, and some failed."""
    CANCELLED = "cancelled"
    """The same, and some were cancelled, though none failed."""
    EXPIRED = "expired"
    """The same, and some expired, though none failed or was cancelled."""
    UNREADABLE = "unreadable"
    """It is not known of all tasks how they are."""

    @property
    def is_final(self) -> bool:
        """Whether every task has ended, for all that is known."""
        match self:
            case JobStatus.PENDING | JobStatus.BLOCKED | JobStatus.RUNNING | JobStatus.PAUSED | JobStatus.CANCELLING:
                return False
            case JobStatus.UNREADABLE:
                return False
            case JobStatus.COMPLETED | JobStatus.FAILED | JobStatus.CANCELLED | JobStatus.EXPIRED:
                return True
            case _:
                assert_never(self)


_WORST_FIRST = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED, JobStatus.COMPLETED)

Found = Versioned[Part] | str | None
"""A part that was read; why it cannot be; None if it is as it was, or nobody has touched it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """What the job object and the parts of one job said when they were last read; final when every task is."""

    job: Job
    at: float
    """When the parts were asked for, in epoch seconds by the store's clock."""
    known: Mapping[int, Versioned[Part]] = field(default_factory=dict)
    """The parts that have a state object."""
    unreadable: Mapping[int, UnreadablePart] = field(default_factory=dict)
    """The parts whose state object was not understood."""
    doubt: str = ""
    """Why the job object, which was given new orders, cannot be read any more; empty if it can."""

    def parts(self) -> Iterator[Part]:
        """Yield the state of every part that can be read, in order; untouched ones as fresh."""
        return (self.part(index) for index in range(self.job.n_parts) if index not in self.unreadable)

    def touched(self) -> list[Part]:
        """Return the parts that have a state object, in order."""
        return [self.known[index].doc for index in sorted(self.known)]

    def part(self, index: int) -> Part:
        """Return the state of one part, or raise `FormatError`."""
        if index in self.unreadable:
            raise FormatError(self.unreadable[index].why)
        held = self.known.get(index)
        return held.doc if held else self.job.fresh_part(index)

    def counts(self) -> dict[Status, int]:
        """Return how many tasks are in each status; with `n_unreadable` that sums to the number of tasks."""
        total = dict.fromkeys(Status, 0)
        touched = self.n_unreadable
        for held in self.known.values():
            touched += held.doc.n_rows
            for status, n in held.doc.counts().items():
                total[status] += n
        total[Status.PENDING] += self.job.n_tasks - touched
        return total

    @property
    def n_unreadable(self) -> int:
        """How many tasks are in parts that cannot be read."""
        return sum(self.job.part_size(index) for index in self.unreadable)

    @property
    def why_unreadable(self) -> str:
        """Why it is not known how all of the tasks are; empty if it is."""
        return self.doubt or next((self.unreadable[index].why for index in sorted(self.unreadable)), "")

    @property
    def has_ended(self) -> bool:
        """Whether it is final, or will not become so for this reader: all that it can read is."""
        if len(self.known) + len(self.unreadable) < self.job.n_parts:
            return False
        return bool(self.doubt) or all(is_settled(held.doc, self.job) for held in self.known.values())

    def check(self) -> None:
        """Raise `FormatError` if there is something that cannot be read."""
        if self.why_unreadable:
            raise FormatError(f"job {self.job.name or self.job.id} is not known in full: {self.why_unreadable}")

    @property
    def is_final(self) -> bool:
        """Whether every task has a final status, written in its part, that no order given will change."""
        if len(self.known) < self.job.n_parts or self.doubt:
            return False
        return all(is_settled(held.doc, self.job) for held in self.known.values())

    @property
    def is_started(self) -> bool:
        """Whether any worker has ever claimed a task."""
        return any(held.doc.log for held in self.known.values())

    @property
    def workers(self) -> set[str]:
        """Who runs rows."""
        running = ((held.doc, task.lease) for held in self.known.values() for task in held.doc.states if task.lease)
        return {part.lease(lease_id).worker for part, lease_id in running}

    def progress(self) -> list[Progress]:
        """Return what running calls last said of themselves; rows are those of the job."""
        parts = ((index * self.job.part_rows, self.known[index].doc) for index in sorted(self.known))
        return [replace(one, rows=one.rows.shift(first)) for first, part in parts for one in part.progress()]

    def n_under_way(self) -> float:
        """Return how many tasks' worth of work is done of those that run, as far as they say so themselves."""
        return sum(len(one.rows) * (one.fraction or 0.0) for one in self.progress())

    def pace(self) -> tuple[int, float]:
        """Return how many rows the logs of the parts tell the running time of, and that time in seconds."""
        logged = (event for held in self.known.values() for event in held.doc.log)
        timed = [event for event in logged if event.verb is Verb.COMPLETE and event.took_s]
        return sum(event.n_rows for event in timed), sum(event.took_s for event in timed)

    @property
    def status(self) -> JobStatus:
        """How the job is as a whole."""
        if self.why_unreadable:
            return JobStatus.UNREADABLE
        if self.is_final:
            found = {_ended_with(status) for status, n in self.counts().items() if n}
            return next((status for status in _WORST_FIRST if status in found), JobStatus.COMPLETED)
        if self._is_cancelling():
            return JobStatus.CANCELLING
        if self.job.pause(self.at) is not None:
            return JobStatus.PAUSED
        if self.is_blocked:
            return JobStatus.BLOCKED
        return JobStatus.RUNNING if self.is_started else JobStatus.PENDING

    @property
    def is_blocked(self) -> bool:
        """Whether its pending tasks wait for other jobs to end."""
        return self.job.is_blocked(self.at)

    def _is_cancelling(self) -> bool:
        orders = [(gen, order) for gen, order in enumerate(self.job.controls, 2) if order.verb.concerns_tasks]
        if not orders or orders[-1][1].verb is not ControlVerb.CANCEL:
            return False
        gen, order = orders[-1]
        return any(self.part(index).gen < gen for index in concerned(self.job, order))


def _ended_with(status: Status) -> JobStatus:
    """Return what a job is for a task of it that ended so."""
    match status:
        case Status.COMPLETED:
            return JobStatus.COMPLETED
        case Status.FAILED:
            return JobStatus.FAILED
        case Status.CANCELLED:
            return JobStatus.CANCELLED
        case Status.EXPIRED:
            return JobStatus.EXPIRED
        case Status.PENDING | Status.RUNNING:
            raise AssertionError(f"a task that is {status} has not ended")
        case _:
            assert_never(status)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadablePart:
    """A part whose object is there and was not understood."""

    etag: str
    """Of what was read; empty if that is not known."""
    why: str


class JobView:
    """Keeps the state of one job up to date. Threads may share it: each sees whole states only."""

    def __init__(self, repository: Repository, job: Job) -> None:
        self._repository = repository
        self.state = JobState(job=job, at=repository.now())
        """What the last `refresh` saw."""
        self._lock = threading.Lock()
        self._refreshed: float | None = None
        self._etag = ""
        """Of the job object, once it was read because all was over."""
        self._found = repository.store.clock.monotonic()
        """When the job was last seen to be there."""

    def now(self) -> float:
        """Return the store's time in epoch seconds."""
        return self._repository.now()

    def refresh(self, *, unless_within_s: float = 0.0) -> JobState:
        """Read what changed: one LIST per 1,000 parts and one GET per changed part; one GET for a single part.

        Raise `UnknownJob` if the job was deleted. Threads take turns, and whoever finds the state not older than `unless_within_s` asks nothing.
        """
        with self._lock:
            now = self._repository.store.clock.monotonic()
            if self._refreshed is not None and now - self._refreshed < unless_within_s:
                return self.state
            asked = self._repository.now()
            if self.state.is_final and not self._has_news():
                self.state = replace(self.state, at=asked)
                self._refreshed = self._repository.store.clock.monotonic()
                return self.state
            if self.state.job.is_blocked(asked):  # nothing in its parts tells when that is over
                self.state = replace(self.state, job=self._repository.read_job(self.state.job.id).doc)
            try:
                changed = {0: ""} if self.state.job.n_parts == 1 else self._changed()
                found = dict(zip(changed, self._repository.map(self._read, changed), strict=True))
                self.state = self._taken_in(found, changed, asked=asked)
            except Missing:
                raise self._gone() from None
            if not self.state.known and self.state.job.n_parts:
                self.check_there()
            elif self._refreshed is None and self.state.is_final:
                self.check_there(after_s=self._repository.limits.queue.deleted_first_look_s)
            self._refreshed = self._repository.store.clock.monotonic()
            return self.state

    def _taken_in(self, found: Mapping[int, Found], etags: Mapping[int, str], *, asked: float) -> JobState:
        """Return the state with the parts that were read now, and the job read again if they know of newer orders."""
        bad = {n: UnreadablePart(etag=etags[n], why=one) for n, one in found.items() if isinstance(one, str)}
        read = {n: one for n, one in found.items() if isinstance(one, Versioned)}
        known = {n: one for n, one in {**self.state.known, **read}.items() if n not in bad}
        unreadable = {n: one for n, one in {**self.state.unreadable, **bad}.items() if n not in read}
        job = self.state.job
        if any(one.doc.gen > job.gen for one in known.values()):
            try:
                job = self._repository.read_job(job.id).doc
            except FormatError as error:
                return JobState(job=job, at=asked, known=known, unreadable=unreadable, doubt=str(error))
        for index, one in list(known.items()):
            try:
                check_orders(one.doc, job)
            except FormatError as error:
                unreadable[index] = UnreadablePart(etag=known.pop(index).etag or "", why=str(error))
        return JobState(job=job, at=asked, known=known, unreadable=unreadable)

    def _has_news(self) -> bool:
        """Whether a job of which all tasks had ended may have been given an order since; raise `UnknownJob` if it was deleted."""
        job, repository = self.state.job, self._repository
        try:
            found = repository.read_changed_job(job.id, etag=self._etag) if self._etag else repository.read_job(job.id)
        except FormatError:
            return True  # then what is in the parts counts
        if found is not None and found.doc.origin != job.origin:
            raise self._gone()
        if found is not None:
            self._etag = found.etag or ""
            self.state = replace(self.state, job=found.doc)
            return found.doc.gen != job.gen
        return False

    def check_there(self, *, after_s: float | None = None) -> None:
        """Look, if it was not seen for so long (None: for a while), whether a job was deleted; raise `UnknownJob` if so."""
        now = self._repository.store.clock.monotonic()
        if now - self._found >= (self._repository.limits.queue.deleted_look_s if after_s is None else after_s):
            self._repository.read_job(self.state.job.id)
            self._found = now

    def _gone(self) -> UnknownJob:
        """Return what to say where something of the job is gone."""
        try:
            self._repository.read_job(self.state.job.id)
        except JobMissing as error:
            return error
        return UnknownJob(
            f"job {self.state.job.name or self.state.job.id!r} was deleted, and submitted once more since"
        )

    def reload(self) -> None:
        """Read the job object again, to see orders given elsewhere."""
        self.adopt(self._repository.read_job(self.state.job.id).doc)

    def adopt(self, job: Job) -> None:
        """Take in a newer job object; what is known of the parts stays."""
        with self._lock:
            self.state = replace(self.state, job=job)

    def _changed(self) -> dict[int, str]:
        job = self.state.job
        known: dict[int, UnreadablePart | Versioned[Part]] = {**self.state.unreadable, **self.state.known}
        pages = self._repository.store.list_all(self._repository.keys_of(job).parts)
        found = keys.part_etags((entry for page in pages for entry in page.entries), n_parts=job.n_parts)
        if not known.keys() <= found.keys():
            self._repository.read_job(job.id)
        return {n: etag for n, etag in found.items() if n not in known or known[n].etag != etag}

    def _read(self, index: int) -> Found:
        try:
            return self._read_part(index)
        except FormatError as error:
            return str(error)

    def _read_part(self, index: int) -> Versioned[Part] | None:
        job, known = self.state.job, self.state.known.get(index)
        if known is None or known.etag is None:
            found = self._repository.read_part(job, index)
            return found if found.etag is not None else None
        return self._repository.read_changed_part(job, index, etag=known.etag)
