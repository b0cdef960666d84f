"""What happened to one task: the versions of its part, or the part's own short log where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from oqkit.queue.document import load_part
from oqkit.queue.job import Control, ControlVerb, Job
from oqkit.queue.part import Part
from oqkit.queue.part_log import Event
from oqkit.queue.repository import Repository
from oqkit.queue.task_state import TaskState
from oqkit.queue.transition import TRANSITIONS, Status, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One state that a task was in."""

    at: float
    """Since when, in epoch seconds."""
    status: Status
    attempt: int | None
    """None where only the log is left, which does not count."""
    worker: str
    note: str
    by: str = ""
    """Who gave the order that led to it; empty if none did, or that is not known."""


def history(repository: Repository, job: Job, row: int) -> list[Step]:
    """Return the states of a task, oldest first, as far back as the store remembers.

    An order that moves no task, such as a pause of its job, is a step in which its state stays what it was.
    """
    steps, last = _states(repository, job, row), 0
    for control in job.controls:
        if (note := _note(control)) is not None:
            last = max([last, *(n for n, step in enumerate(steps) if step.at <= control.at)])
            at = max(control.at, steps[last].at)  # who gave the next one may have another idea of the time
            steps.insert(last + 1, replace(steps[last], at=at, worker="", note=note, by=control.by))
            last += 1
    return steps


def _note(control: Control) -> str | None:
    """Say what an order did that moves no task; None if it moves some."""
    note: str | None = None
    match control.verb:
        case ControlVerb.PAUSE:
            note = f"paused: {control.reason}" if control.reason else "paused"
        case ControlVerb.RESUME:
            note = "resumed"
        case ControlVerb.REPRIORITIZE:
            note = f"priority {control.priority}"
        case ControlVerb.TAG:
            changes = (f"no {name}" if value is None else f"{name}={value}" for name, value in control.tags)
            note = "tags " + ", ".join(changes)
        case ControlVerb.RELEASE:
            note = f"released: {control.reason or 'all that it depends on have ended'}"
        case ControlVerb.SIGNAL:
            note = f"signal {control.name}"
        case ControlVerb.CANCEL | ControlVerb.RETRY | ControlVerb.FOLLOW:
            pass
        case _:
            assert_never(control.verb)
    return note


def _states(repository: Repository, job: Job, row: int) -> list[Step]:
    index, local = job.locate(row)
    key = repository.keys_of(job).part(index)
    versions = [load_part(version.data, key=key) for version in repository.store.versions(key)]
    steps = [Step(at=job.created, status=Status.PENDING, attempt=0, worker="", note="submitted")]
    if len(versions) == 1 and versions[0].rev > 1:
        return [*steps, *_from_log(versions[0], local)]
    return [*steps, *_from_versions(sorted(versions, key=lambda part: part.rev), local)]


def _from_versions(versions: list[Part], row: int) -> Iterator[Step]:
    before, logged = TaskState(), tuple[Event, ...]()
    for part in versions:
        state = part.state_at(row)
        if (state.status, state.attempt, state.lease, state.due) != (
            before.status,
            before.attempt,
            before.lease,
            before.due,
        ):
            new = [event for event in part.log if event not in logged and row in event.rows]
            yield from _passed(before, state, new)
            event = new[-1] if new else None
            holder = next((lease.worker for lease in part.leases if lease.id == state.lease), "")
            worker = holder or (event.worker if event else "")
            note = event.note if event else ""
            by = event.by if event else ""
            yield Step(at=part.at, status=state.status, attempt=state.attempt, worker=worker, note=note, by=by)
        before, logged = state, part.log


def _passed(before: TaskState, state: TaskState, events: list[Event]) -> Iterator[Step]:
    """Yield the states between two versions: a worker may carry out an order and claim its tasks in one write.

    None if the events do not lead from one to the other: of many scattered rows the log keeps only the span.
    """
    status, attempt, steps = before.status, before.attempt, list[Step]()
    for event in events:
        after = TRANSITIONS.get((event.verb, status))
        if after is not None:
            status, attempt = after, attempt + (event.verb is Verb.CLAIM)
            steps.append(_step(event, status, attempt))
    if (status, attempt) == (state.status, state.attempt):
        yield from steps[:-1]


def _from_log(part: Part, row: int) -> Iterator[Step]:
    for event in part.log:
        if row in event.rows:
            yield _step(event, _after(event.verb), None)


def _step(event: Event, status: Status, attempt: int | None) -> Step:
    return Step(at=event.at, status=status, attempt=attempt, worker=event.worker, note=event.note, by=event.by)


def _after(verb: Verb) -> Status:
    return next(status for (one, _), status in TRANSITIONS.items() if one is verb)
