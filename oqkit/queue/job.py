"""A job: what was asked for, once, and the controls (cancel, retry, pause …) given since.

A control is one entry in the job object; every part applies it once, in order, and remembers how
many it has applied (`Part.gen`). So a control is complete as soon as the job object holds it:
whoever meets a part that is behind brings it up to date, and a caller that dies half-way has
already said all that is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, assert_never

from oqkit.errors import FormatError
from oqkit.queue.bound import STATED, Digest, Id, Moment, Name, Priority, Text, Unknown
from oqkit.queue.dependency import FEATURE as DEPENDENCIES
from oqkit.queue.dependency import OnFailure, Parent
from oqkit.queue.limit import Limit
from oqkit.queue.part import Part, cancel, fresh, reject, reopen
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows
from oqkit.queue.signal import FEATURE as SIGNALS
from oqkit.queue.signature import Seal, Signature
from oqkit.queue.task_state import woken
from oqkit.queue.transition import Status

LAYOUTS = "layouts"
"""The feature of jobs whose work is not in the first layout of the queue, and of a queue that has several (`oqkit.queue.layout`)."""
SCHEMAS = "schemas"
"""What a job requires of whoever runs it that says what its results are like."""


class ControlVerb(StrEnum):
    """What is ordered for a job: by a person, or, where that is said, by oqkit itself."""

    CANCEL = "cancel"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    REPRIORITIZE = "reprioritize"
    TAG = "tag"
    FOLLOW = "follow"
    """By oqkit: there are jobs that depend on this one. Whoever sees its end tells them."""
    RELEASE = "release"
    """By oqkit: the jobs that this one depends on have ended. `Control.reason` names some that did not complete."""

    SIGNAL = "signal"

    @property
    def concerns_tasks(self) -> bool:
        """Whether it says what may become of tasks; a priority, tags and followers are about the job as a whole."""
        match self:
            case ControlVerb.CANCEL | ControlVerb.RETRY | ControlVerb.PAUSE | ControlVerb.RESUME:
                return True
            case ControlVerb.RELEASE | ControlVerb.SIGNAL:
                return True
            case ControlVerb.REPRIORITIZE | ControlVerb.TAG | ControlVerb.FOLLOW:
                return False
            case _:
                assert_never(self)

    @property
    def feature(self) -> str:
        """What a job that was given such an order requires of its readers; empty for what every version knows."""
        match self:
            case ControlVerb.CANCEL | ControlVerb.RETRY | ControlVerb.PAUSE | ControlVerb.RESUME:
                return ""
            case ControlVerb.REPRIORITIZE | ControlVerb.TAG:
                return self.value
            case ControlVerb.FOLLOW | ControlVerb.RELEASE:
                return DEPENDENCIES
            case ControlVerb.SIGNAL:
                return SIGNALS
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Which function runs the tasks: `reference` (``module:name``), or `digest` of a function shipped by value.

    With neither, any worker that has a handler of the job's type. What is empty is unknown.
    """

    reference: Name = ""
    digest: Digest = ""
    """The SHA-256 of the bytes, in full."""
    fingerprint: Name = ""
    """What tells the function from every other one; empty if that is not known."""
    python: Id = ""
    """The Python that it was submitted from, such as ``3.11``."""
    magic: Id = ""
    """What byte code of that Python begins with, in hexadecimal digits."""
    unknown: Unknown = ()

    @property
    def name(self) -> str:
        """Return what tells this function from others, shortly; empty if any of the job's type will do."""
        return self.digest or (f"{self.reference} {self.fingerprint[:24]}".strip() if self.reference else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One order: `statuses` says which tasks it moves, `rows` (of the whole job) narrows them; None is all."""

    op: Id
    verb: ControlVerb
    at: Moment
    statuses: tuple[Status, ...] = field(default=(), metadata=STATED)
    rows: Rows | None = field(default=None, metadata=STATED)
    reason: Text = field(default="", metadata=STATED)
    until: Moment | None = None
    """When a pause is over by itself, in epoch seconds; None for never."""
    by: Name = ""
    """Who gave it; empty if that is not known."""
    priority: Priority | None = None
    """The priority from now on; None: as before."""
    tags: tuple[tuple[Name, Text | None], ...] = ()
    """Tags to be set; None removes one."""
    name: Name = ""
    """Of a signal; and its value, as a text of `tagged_json`."""
    value: Text = ""
    seal: Seal | None = None
    """The signature of a signal; None if nobody signed it. See `oqkit.queue.signal_seal`."""
    unknown: Unknown = ()

    @property
    def cancels_all(self) -> bool:
        """Whether no task is pending after it."""
        return self.verb is ControlVerb.CANCEL and self.rows is None and Status.PENDING in self.statuses

    @property
    def ends_pause(self) -> bool:
        """Whether a pause given before is over: it was ended, or nothing pending was left."""
        match self.verb:
            case ControlVerb.RESUME:
                return True
            case ControlVerb.CANCEL:
                return self.cancels_all
            case ControlVerb.RETRY | ControlVerb.PAUSE | ControlVerb.REPRIORITIZE | ControlVerb.TAG:
                return False
            case ControlVerb.FOLLOW | ControlVerb.RELEASE | ControlVerb.SIGNAL:
                return False
            case _:
                assert_never(self.verb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What submitted a job that nobody did: a schedule."""

    schedule: Name
    origin: Id
    """Which of the schedules that had this name, one after the other."""
    at: Moment
    """The slot; or when somebody let the schedule submit one at once."""
    is_triggered: bool = False
    """Whether somebody did."""
    unknown: Unknown = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The job object. `rev` rises with every write and `op` is fresh; `input` is for the frame layer to read."""

    id: str
    type: str
    n_tasks: int
    part_rows: int
    created: float
    """Epoch seconds, by the store's clock."""
    origin: str
    """The id of the submission that created it: how a submitter whose reply was lost knows its own job."""
    mode: str
    """What a task is: a row of a ``frame``, or a ``value`` of its own."""
    name: str = ""
    content_digest: str = ""
    """Of the inputs; empty for a job of oqkit 0.1, and then never equal to another."""
    options_digest: str = ""
    """Of the options."""
    code: Code = field(default_factory=Code)
    policy: Policy = field(default_factory=Policy)
    priority: int = 128
    timeout_s: float | None = None
    """The longest that one call may take; None for no limit."""
    tags: Mapping[str, str] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    controls: tuple[Control, ...] = ()
    depends_on: tuple[Parent, ...] = ()
    """The jobs that have to end before its tasks may start."""
    on_failure: OnFailure = OnFailure.FAIL
    limits: tuple[Limit, ...] = ()
    """What it keeps together with other jobs, or by itself, whichever worker runs it."""
    layout: int = 0
    """In which layout of the queue its work is: see `oqkit.queue.layout`."""
    parent: str = ""
    """The id of the task that spawned it."""
    root: str = ""
    """The id of the job that its pipeline begins with; empty if with itself."""
    rev: int = 0
    op: str = ""
    requires: tuple[str, ...] = ()
    """Features without which nobody may run it."""
    code_rev: int = 0
    """How often the function was replaced."""
    valid_until: float | None = None
    """When its signature runs out, in epoch seconds; None: never, or it has none."""
    signature: Signature | None = None
    key_until: float | None = None
    """When it holds the key that it was submitted with no more, in epoch seconds; None: never, or it has none."""
    slot: Slot | None = None
    """What it was submitted for by a schedule; None if somebody submitted it."""
    deleted: float | None = None
    """When it was deleted, in epoch seconds: then this is its tombstone; None if it was not."""
    deleted_by: str = ""
    """Who did that; empty if nobody has said so."""
    outcome: tuple[Status, ...] | None = None
    """Of a tombstone: the statuses in which its tasks had ended; None if that is not known."""
    output_schema: Mapping[str, Any] | None = None
    """The JSON Schema that each result has to fit, in place of what the function says of them; None: there is none."""
    unknown: Unknown = ()
    """What a newer oqkit wrote beside these, to be written again."""

    @property
    def gen(self) -> int:
        """Return the generation: 1, and one more for each control."""
        return 1 + len(self.controls)

    @property
    def n_parts(self) -> int:
        """Return how many parts the tasks are in."""
        return -(-self.n_tasks // self.part_rows) if self.n_tasks else 0

    def holds_key(self, now: float) -> bool:
        """Whether a submission with the key of this one is this one."""
        return self.deleted is None and (self.key_until is None or now < self.key_until)

    def pause(self, now: float) -> Control | None:
        """Return the order by which no worker starts tasks of this job now, or None."""
        for control in reversed(self.controls):
            if control.ends_pause:
                return None
            if control.verb is ControlVerb.PAUSE:
                return control if control.until is None or now < control.until else None
        return None

    @property
    def release(self) -> Control | None:
        """Return the order that says what became of the jobs that it depends on; None while they have not all ended."""
        return next((control for control in self.controls if control.verb is ControlVerb.RELEASE), None)

    @property
    def has_followers(self) -> bool:
        """Whether other jobs may depend on it."""
        return any(control.verb is ControlVerb.FOLLOW for control in self.controls)

    def signals(self, name: str, row: int, *, since: int = 0) -> dict[int, str]:
        """Return the values of the signals of a name that a task was sent, in order, as texts of `tagged_json`.

        By the generation that each made of the job; those that were sent before the generation `since` are left out.
        """
        return {
            gen: control.value
            for gen, control in enumerate(self.controls, 2)
            if control.verb is ControlVerb.SIGNAL
            and gen >= since
            and control.name == name
            and (control.rows is None or row in control.rows)
        }

    def is_blocked(self, now: float) -> bool:
        """Whether its tasks wait for other jobs to end: they do not once all were cancelled, or their time is over."""
        if not self.depends_on or self.release is not None:
            return False
        if self.policy.expires_at is not None and now >= self.policy.expires_at:
            return False
        last = next((one for one in reversed(self.controls) if one.cancels_all or one.verb is ControlVerb.RETRY), None)
        return last is None or last.verb is ControlVerb.RETRY

    def part_size(self, index: int) -> int:
        """Return how many tasks part `index` has."""
        return min(self.part_rows, self.n_tasks - index * self.part_rows)

    def fresh_part(self, index: int) -> Part:
        """Return the state that the absence of a part object stands for: no control has met it yet."""
        return fresh(self.id, index, n_rows=self.part_size(index), gen=1)

    def locate(self, row: int) -> tuple[int, int]:
        """Return (part, row within the part) of a task."""
        return divmod(row, self.part_rows)


def with_control(job: Job, control: Control, *, code: Code | None = None) -> Job:
    """Add an order; `code` replaces the function from here on, which nobody has signed yet."""
    feature = control.verb.feature
    requires = job.requires if not feature or feature in job.requires else (*job.requires, feature)
    priority = job.priority if control.priority is None else control.priority
    tags = {name: value for name, value in {**job.tags, **dict(control.tags)}.items() if value is not None}
    job = replace(job, controls=(*job.controls, control), requires=requires, priority=priority, tags=tags)
    return job if code is None else replace(job, code=code, code_rev=job.code_rev + 1, valid_until=None, signature=None)


def has_control(job: Job, op: str) -> bool:
    """Whether the order is part of this state: the evidence for a lost reply."""
    return any(control.op == op for control in job.controls)


def caught_up(part: Part, job: Job, *, now: float) -> Part:
    """Apply to `part` the controls that it has not seen."""
    first = part.index * job.part_rows
    for gen, control in enumerate(job.controls[part.gen - 1 :], part.gen + 1):
        rows = Rows.span(0, part.n_rows)
        if control.rows is not None:
            rows = control.rows.clip(first, first + part.n_rows).shift(-first)
        statuses = frozenset(control.statuses)
        match control.verb:
            case ControlVerb.CANCEL:
                part = cancel(part, rows, now=now, statuses=statuses, note=control.reason, by=control.by)
            case ControlVerb.RETRY:
                has_signals = any(one.verb is ControlVerb.SIGNAL for one in job.controls[: gen - 1])
                since = gen if has_signals else 0
                part = reopen(part, rows, now=now, statuses=statuses, by=control.by, signals_from=since)
            case ControlVerb.RELEASE:
                part = _released(part, job, control, now=now)
            case ControlVerb.SIGNAL:
                part = replace(part, states=woken(part.states, rows, signal=control.name))
            case (
                ControlVerb.PAUSE | ControlVerb.RESUME | ControlVerb.REPRIORITIZE | ControlVerb.TAG | ControlVerb.FOLLOW
            ):
                pass  # they move no task
            case _:
                assert_never(control.verb)
    return replace(part, gen=max(part.gen, job.gen))


def _released(part: Part, job: Job, control: Control, *, now: float) -> Part:
    """Let tasks go the way that their job has chosen for what became of the jobs that it depends on."""
    if not control.reason:
        return part
    match job.on_failure:
        case OnFailure.FAIL:
            return reject(part, now=now, note=control.reason)
        case OnFailure.SKIP:
            pending = frozenset({Status.PENDING})
            return cancel(part, Rows.span(0, part.n_rows), now=now, statuses=pending, note=control.reason)
        case OnFailure.RUN:
            return part
        case _:
            assert_never(job.on_failure)


def check_orders(part: Part, job: Job) -> None:
    """Raise `FormatError` if a part has seen more orders than its job, read after it, has."""
    if part.gen > job.gen:
        raise FormatError(
            f"part {part.index} of job {job.id} has seen {part.gen - 1} orders, and the job has {job.gen - 1}"
        )


def is_settled(part: Part, job: Job) -> bool:
    """Whether every task of `part` has a final status, and no order that the part has not seen changes that."""
    if not part.is_final or part.gen >= job.gen:
        return part.is_final
    return caught_up(part, job, now=part.at).states == part.states


def concerned(job: Job, control: Control) -> range:
    """Return the parts in which an order may move tasks; a pause or its end moves none, and is told to part 0.

    A priority concerns only who chooses among jobs, and tags only who looks for some: no part hears of those.
    """
    match control.verb:
        case ControlVerb.FOLLOW:
            return range(0)
        case ControlVerb.RELEASE:
            return range(job.n_parts if control.reason and job.on_failure is not OnFailure.RUN else 0)
        case ControlVerb.PAUSE | ControlVerb.RESUME:
            return range(min(1, job.n_parts))
        case ControlVerb.REPRIORITIZE | ControlVerb.TAG:
            return range(0)
        case ControlVerb.CANCEL | ControlVerb.RETRY | ControlVerb.SIGNAL:
            return _parts_of(control.rows, job)
        case _:
            assert_never(control.verb)


def _parts_of(rows: Rows | None, job: Job) -> range:
    if rows is None or not job.n_tasks:
        return range(job.n_parts)
    return range(rows.first // job.part_rows, rows.last // job.part_rows + 1) if rows else range(0)
