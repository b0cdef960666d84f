"""What happened to one task: the versions of its part, or the part's own short log where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oqkit.queue.document import load_part
from oqkit.queue.job import Job
from oqkit.queue.part import Event, Part
from oqkit.queue.repository import Repository
from oqkit.queue.run import Run
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


def history(repository: Repository, job: Job, row: int) -> list[Step]:
    """Return the states of a task, oldest first, as far back as the store remembers."""
    index, local = job.locate(row)
    key = repository.keys_of(job).part(index)
    versions = [load_part(version.data, key=key) for version in repository.store.versions(key)]
    steps = [Step(at=job.created, status=Status.PENDING, attempt=0, worker="", note="submitted")]
    if len(versions) == 1 and versions[0].rev > 1:
        return [*steps, *_from_log(versions[0], local)]
    return [*steps, *_from_versions(sorted(versions, key=lambda part: part.rev), local)]


def _from_versions(versions: list[Part], row: int) -> Iterator[Step]:
    before, logged = Run(first=0, stop=1), tuple[Event, ...]()
    for part in versions:
        run = part.run_at(row)
        if (run.status, run.attempt, run.lease, run.due) != (before.status, before.attempt, before.lease, before.due):
            new = [event for event in part.log if event not in logged and _holds(event, row)]
            event = new[-1] if new else None
            holder = next((lease.worker for lease in part.leases if lease.id == run.lease), "")
            worker = holder or (event.worker if event else "")
            note = event.note if event else ""
            yield Step(at=part.at, status=run.status, attempt=run.attempt, worker=worker, note=note)
        before, logged = run, part.log


def _from_log(part: Part, row: int) -> Iterator[Step]:
    for event in part.log:
        if _holds(event, row):
            yield Step(at=event.at, status=_after(event.verb), attempt=None, worker=event.worker, note=event.note)


def _holds(event: Event, row: int) -> bool:
    return any(first <= row < stop for first, stop in event.rows)


def _after(verb: Verb) -> Status:
    return next(status for (one, _), status in TRANSITIONS.items() if one is verb)
