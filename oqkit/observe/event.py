"""What observers are told of: frozen values, each about many rows at once. None is made for a row.

Events say what is so already: what is stored, what has ended. They are of this process alone; of what other submitters
and workers do, the queue itself tells. `at` is when it was, in epoch seconds by the store's clock. Rows are numbered as
in their job, so that ``task_id(event.job.id, row)`` is the task. Later versions may add events and fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from oqkit.claim.lease import HeldLease
from oqkit.errors import StoreError
from oqkit.queue.commit import Outcome
from oqkit.queue.job import ControlVerb, Job
from oqkit.queue.part import Part
from oqkit.queue.rows import NONE, Rows
from oqkit.queue.transition import Status, Verb
from oqkit.task.failure import Failure

# --- a client ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """A job was stored, and workers told of it."""

    at: float
    job: Job
    took_s: float
    """How long storing it took, uploads included, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAttached:
    """A submission made no job, but gave back the one that does the same work, or has the same key."""

    at: float
    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrdered:
    """A handle of this process gave an order, such as to cancel."""

    at: float
    job: Job
    """With the order."""
    verb: ControlVerb
    n_tasks: int = 0
    """How many it cancelled, or put to work again."""
    reason: str = ""
    by: str = ""
    """Who gave it."""


# --- a worker ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """A worker begins to look for work."""

    at: float
    worker: str
    types: tuple[str, ...]
    """The task types that it was started with."""
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped:
    """A worker has ended, and holds nothing any more but what it could not hand back."""

    at: float
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """A worker saw that every task of a job has ended. Others may say the same: once at least, if one lives that long."""

    at: float
    job: Job
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed:
    """A worker could not fetch work, or store outcomes, and tries again: one event for each try that failed."""

    at: float
    worker: str
    error: StoreError
    lease: str = ""
    """Whose outcomes wait; empty for a try to fetch work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEvent:
    """Something about one lease. `LeaseClaimed` is the first of a lease, and `LeaseEnded` the last unless its worker dies."""

    at: float
    job: Job
    """As the worker read it: its tags, type and options."""
    part: int
    lease: str
    worker: str

    @classmethod
    def of(cls, lease: HeldLease, **what: object) -> Self:
        """Return this event of a lease."""
        return cls(at=lease.now(), job=lease.job, part=lease.index, lease=lease.id, worker=lease.worker, **what)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseClaimed(LeaseEvent):
    """A worker has taken rows. They run when those before them are done, or go back."""

    rows: Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseStarted(LeaseEvent):
    """The rows of a lease begin to run: what comes before is reading inputs, and waiting for the lease before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseCommitted(LeaseEvent):
    """Outcomes of a lease are stored: for good if they are final, and whatever becomes of the worker now.

    What was claimed and is in no event of this kind when the lease ends went back to others.
    """

    rows: Mapping[Verb, Rows]
    """What became of them: complete, retry, reschedule, lose (it killed its process, and may try once more), fail (also
    after one retry too many), and cancel if they were cancelled meanwhile, so that their outcomes are not used."""
    failures: Mapping[int, Failure]
    """The errors of calls, by row: also of those that are retried."""
    attempts: Mapping[int, Rows]
    """Which attempt it was, of those that count, 1 for the first; of a failure, that says it."""
    run_s: float
    """How long they ran: from the start, or the commit before, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEnded(LeaseEvent):
    """A worker is done with a lease: all of it is committed or handed back, or it was lost."""

    n_finished: int
    """How many rows were worked off."""
    run_s: float | None = None
    """How long they ran, in seconds; None if none was run."""
    is_lost: bool = False
    """Whether others may have it, or will once it runs out: what is not committed is run again."""
    is_suspect: bool = False
    """Whether a row of it may kill its process, so that it ran apart."""


Event = (
    JobSubmitted
    | JobAttached
    | JobOrdered
    | WorkerStarted
    | WorkerStopped
    | JobEnded
    | StoreFailed
    | LeaseClaimed
    | LeaseStarted
    | LeaseCommitted
    | LeaseEnded
)


def fates(part: Part, outcomes: Iterable[Outcome]) -> dict[Verb, Rows]:
    """Return what became of rows, by `part` as it was written with their outcomes; rows are those of the part."""
    decided = {
        Verb.FAIL: part.rows(lambda state: state.status is Status.FAILED),
        Verb.CANCEL: part.rows(lambda state: state.status is Status.CANCELLED),
    }
    found: dict[Verb, Rows] = {}
    for outcome in outcomes:
        rest = outcome.rows
        for verb, rows in decided.items():
            found[verb] = found.get(verb, NONE) | (rest & rows)
            rest -= rows
        found[outcome.verb] = found.get(outcome.verb, NONE) | rest
    return {verb: rows for verb, rows in found.items() if rows}
