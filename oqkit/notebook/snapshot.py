"""What a display shows of a job, as one frozen value: everything else here turns it into text, HTML or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from oqkit.errors import FormatError
from oqkit.notebook.group import Group
from oqkit.notebook.progress import ProgressHistory, durations, histogram, history_of, mean_rate, rate, speeds
from oqkit.payload.input import input_of
from oqkit.queue.job import Control, Job
from oqkit.queue.part import Part
from oqkit.queue.part_log import LOG_RING
from oqkit.queue.task_state import TaskState
from oqkit.queue.transition import Status, Verb
from oqkit.queue.view import JobState, JobStatus
from oqkit.store.price import dollars

SEGMENTS = ("completed", "running", "retrying", "failed", "cancelled", "expired", "pending")
"""The bar, from left to right: `Status`, with the pending tasks that have run before told apart."""

ENDED = tuple(status.value for status in Status if status.is_final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One job at one moment; times in epoch seconds by the store's clock."""

    id: str
    name: str
    type: str
    status: JobStatus
    n_tasks: int
    counts: Mapping[str, int]
    """By `SEGMENTS`; sums to `n_tasks`."""
    created: float
    now: float
    n_under_way: float = 0.0
    """How many tasks' worth is done of those that run, as far as they say so."""
    due: float = 0.0
    """Before then nothing of it is started."""
    started: float | None = None
    """When the first task was claimed; None if none was, or nobody remembers."""
    ended: float | None = None
    """When the last task ended; None before that."""
    n_claims: int = 0
    most_attempts: int = 0
    workers: tuple[str, ...] = ()
    rate: float | None = None
    speeds: tuple[float, ...] = ()
    durations: tuple[tuple[float, int], ...] = ()
    """Upper edge in seconds, and how many tasks took up to that."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """About how many were sent for it so far, by kind."""
    n_watching: int = 0
    """How many requests this display has sent."""
    groups: tuple[Group, ...] = ()
    n_unread: int = 0
    """Failed tasks whose errors have not been read."""
    pause: Control | None = None
    """The order by which no more of it is started, if there is one."""
    why: str = ""
    """Why nothing happens to it; empty if something does."""
    trouble: str = ""
    """Why what is shown may be old."""

    @property
    def label(self) -> str:
        """The name, or the id of a job without one: what `oq.job` takes."""
        return self.name or self.id

    @property
    def n_ended(self) -> int:
        """How many tasks have a final status."""
        return sum(self.counts[name] for name in ENDED)

    @property
    def is_final(self) -> bool:
        """Whether every task has ended."""
        return self.status.is_final

    @property
    def n_open(self) -> int:
        """How many tasks have not ended: what Cancel would hit."""
        return self.n_tasks - self.n_ended

    @property
    def is_started(self) -> bool:
        """Whether any task was ever claimed, or ended otherwise."""
        return self.n_claims > 0 or self.n_ended > 0

    @property
    def eta_s(self) -> float | None:
        """About how many seconds are left, or None if nobody can say."""
        return self.n_open / self.rate if self.rate and self.n_open and self.pause is None else None

    @property
    def dollars(self) -> float:
        """What the requests cost at AWS prices."""
        return dollars(self.requests)


def snapshot_of(
    state: JobState,
    *,
    trace: ProgressHistory,
    n_uploads: int,
    groups: Sequence[Group] = (),
    n_watching: int = 0,
    why: str = "",
    trouble: str = "",
) -> Snapshot:
    """Describe what a state saw at its last refresh; no requests."""
    job, parts, now = state.job, state.touched(), state.at
    tasks = [(task, len(rows)) for part in parts for task, rows in part.states.items()]
    status = state.status
    is_final = status.is_final
    counts = segments(job.n_tasks, tasks)
    return Snapshot(
        id=job.id,
        name=job.name,
        type=job.type,
        status=status,
        n_tasks=job.n_tasks,
        counts=counts,
        created=job.created,
        now=now,
        n_under_way=state.n_under_way(),
        due=job.policy.not_before,
        started=trace.points[0][0] if trace.points and any(task.attempt for task, _ in tasks) else None,
        ended=max((part.at for part in parts), default=job.created) if is_final else None,
        n_claims=sum(n * task.attempt for task, n in tasks),
        most_attempts=max((task.attempt for task, _ in tasks), default=0),
        workers=tuple(sorted(state.workers)),
        rate=mean_rate(trace) if is_final else rate(trace, now=now),
        speeds=speeds(trace, now=trace.points[-1][0] if is_final and trace.points else now),
        durations=histogram(durations(parts)),
        requests=requests_of(job, parts, n_uploads=n_uploads),
        n_watching=n_watching,
        groups=tuple(groups),
        n_unread=max(0, counts["failed"] - sum(group.n_failed for group in groups)),
        pause=job.pause(now) if status is JobStatus.PAUSED else None,
        why=why,
        trouble=trouble,
    )


def followed(state: JobState, trace: ProgressHistory | None) -> ProgressHistory:
    """Add to a trace (None: begin one from what the parts remember) what a state saw now."""
    counts = state.counts()
    ended = counts[Status.COMPLETED] + counts[Status.FAILED]
    known = trace or history_of(state.touched(), created=state.job.created, ended=ended)
    return known.seen(state.at, ended)


def segments(n_tasks: int, tasks: Iterable[tuple[TaskState, int]]) -> dict[str, int]:
    """Count tasks by `SEGMENTS`; `tasks` says how many are in a state, and those not told of are pending."""
    out = dict.fromkeys(SEGMENTS, 0)
    for task, n in tasks:
        out[segment(task)] += n
    out["pending"] += n_tasks - sum(out.values())
    return out


def segment(task: TaskState) -> str:
    """Return which of `SEGMENTS` a task is in."""
    match task.status:
        case Status.PENDING:
            return "retrying" if task.attempt else task.status.value
        case Status.RUNNING | Status.COMPLETED | Status.FAILED | Status.CANCELLED | Status.EXPIRED:
            return task.status.value
        case _:
            assert_never(task.status)


def uploads_of(job: Job) -> int:
    """Return how many input files were uploaded for a job; 0 if this oqkit cannot tell."""
    try:
        return input_of(job).n_uploads
    except FormatError:
        return 0


def requests_of(job: Job, parts: Sequence[Part], *, n_uploads: int) -> dict[str, int]:
    """Estimate the requests that submitting and running cost so far, by kind.

    Every write of a part counts itself (`Part.rev`). Per lease a worker asks for the markers, the job and
    its rows, and per output it writes an object; what it asks in vain while idle is not of this job.
    """
    leases = sum(_n_leases(part) for part in parts)
    stored = sum(value is None for part in parts for value in part.outputs.values())
    return {
        "put": n_uploads + 2 + 2 * len(job.controls) + stored + sum(part.rev for part in parts),
        "get": 2 * leases,
        "list": leases,
    }


def _n_leases(part: Part) -> int:
    claims = sum(event.verb is Verb.CLAIM for event in part.log)
    if len(part.log) < LOG_RING:
        return claims
    return max(claims, round(part.rev * claims / len({event.at for event in part.log})))
