"""What the oracle knows: who was told what, who was given which lease, what was run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from oqkit.queue.job import Control, ControlVerb, Job
from oqkit.queue.part import Part
from oqkit.queue.task_state import TaskState
from oqkit.queue.transition import Status
from oqkit.testing.simulation.kernel import Node

PENDING, RUNNING, COMPLETED, FAILED = Status.PENDING, Status.RUNNING, Status.COMPLETED, Status.FAILED
CANCELLED, EXPIRED = Status.CANCELLED, Status.EXPIRED


class Violation(AssertionError):
    """Something happened that must not. `rule` names what."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


@dataclass(slots=True)
class Call:
    """One read-modify-write as its caller sees it, and which of its writes were applied."""

    what: str
    node: Node
    is_own: bool
    """Whether only a write of its own can be what it is told of."""
    landed: list[str] = field(default_factory=list)
    lease: str = ""
    told: str = ""
    """``ok``, ``no`` (certainly not applied), ``unknown``, or empty: not told yet."""


@dataclass(slots=True)
class Grant:
    """A lease that was given."""

    node: Node
    given_s: float
    expires: float
    most_s: float
    """How long it may last from each commit on."""
    asked: dict[int, float] = field(default_factory=dict)
    """The most that a call of a row of its job has asked for, in seconds."""
    held_until: dict[int, float] = field(default_factory=dict)
    """Until when such a row stays with it at least."""
    is_alone: bool = False
    """Whether its holder has put on record that nothing else is at stake in it, and the lease has not ended."""
    was_taken: bool = False
    """Whether it ever ended without its holder's doing, also if the same call, not knowing of it, took it once more."""


class Attempt(int):
    """Which attempt of a row that is, and under which lease: after a loss, which counts for nothing, two have one number."""

    lease: str

    @classmethod
    def under(cls, lease: str, number: int) -> Attempt:
        """Return the attempt of that number."""
        attempt = cls(number)
        attempt.lease = lease
        return attempt


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of one row."""

    job: str
    row: int
    node: Node
    at_s: float
    lease: str
    """Under which it was run; empty where that is not known for sure."""


def rows_of(part: Part) -> list[TaskState]:
    """Return the state of each row."""
    return [one.state for one in part.stretches() for _ in range(one.n_rows)]


def paused_until(job: Job, gen: int) -> float:
    """Return until when (epoch seconds) nobody may claim who knows the orders up to a generation; 0.0 if anybody may."""
    until = 0.0
    for control in job.controls[: gen - 1]:
        if control.verb is ControlVerb.PAUSE:
            until = float("inf") if control.until is None else control.until
        is_over = control.verb is ControlVerb.CANCEL and control.rows is None and PENDING in control.statuses
        if is_over or control.verb is ControlVerb.RESUME:
            until = 0.0
    return until


def with_wishes(job: Job, orders: Iterable[Control]) -> Job:
    """Return a job with the priority and the tags that new orders say."""
    priority, tags = job.priority, dict(job.tags)
    for order in orders:
        if order.verb is ControlVerb.REPRIORITIZE:
            priority = order.priority if order.priority is not None else -1
        for name, value in order.tags if order.verb is ControlVerb.TAG else ():
            tags.pop(name, None)
            if value is not None:
                tags[name] = value
    return replace(job, priority=priority, tags=tags)


def is_blocked(job: Job, gen: int, *, now: float) -> bool:
    """Whether nobody may start tasks of a job who knows the orders up to a generation, since others have to end first."""
    told = job.controls[: gen - 1]
    is_over = job.policy.expires_at is not None and job.policy.expires_at <= now
    return bool(job.depends_on) and not is_over and all(it.verb is not ControlVerb.RELEASE for it in told)


def after_release(status: Status, job: Job, release: Control) -> tuple[Status, str]:
    """Return what a release makes of the status of a task, and how; the latter is empty if nothing."""
    if status is PENDING and release.reason and job.on_failure == "fail":
        return FAILED, "rejected"
    if status is PENDING and release.reason and job.on_failure == "skip":
        return CANCELLED, "cancelled"
    return status, ""


def ordered(one: TaskState, job: Job, part: Part, *, row: int, upto: int | None = None) -> tuple[Status, str]:
    """Return the status (and how it came about) of a row once the orders are carried out that its part has not seen."""
    status, how = one.status, ""
    number = part.index * job.part_rows + row
    for control in job.controls[part.gen - 1 : upto]:
        if control.verb is ControlVerb.RELEASE:
            status, released = after_release(status, job, control)
            how = released or how
        is_meant = control.rows is None or number in control.rows
        if is_meant and control.verb is ControlVerb.SIGNAL and status is PENDING:
            is_waiting = bool(one.waits) and (one.waits[-1].name, one.waits[-1].until) == (control.name, one.due)
            how = how or ("woken" if is_waiting else "")
        if not is_meant or status not in control.statuses:
            continue
        if control.verb is ControlVerb.CANCEL and status in (PENDING, RUNNING):
            status, how = CANCELLED, "cancelled"
        elif control.verb is ControlVerb.RETRY and status in (FAILED, CANCELLED, EXPIRED):
            status, how = PENDING, "reopened"
    return status, how
