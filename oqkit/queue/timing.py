"""When a task began and ended: as its part's short log says, or else the versions of the part."""

from __future__ import annotations

from dataclasses import dataclass

from oqkit.queue.history import history
from oqkit.queue.job import Job
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.transition import Status, Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times of one task, in epoch seconds."""

    started: float | None = None
    """When it was last claimed; None if it never was, or nobody remembers."""
    ended: float | None = None
    """When it reached the final status that it has; None if it has none, or nobody remembers. Not before `started`."""


def timing(repository: Repository, job: Job, part: Part, row: int) -> Timing:
    """Return the times of a row of a part; it costs requests only where the part's own log does not reach back far enough."""
    state = part.state_at(row)
    events = [event for event in part.log if row in event.rows]
    claims = [event.at for event in events if event.verb is Verb.CLAIM]
    if all(len(event.rows) == event.n_rows for event in events) and (claims or not state.attempt):
        return _timing(claims, events[-1].at if events and state.status.is_final else None)
    steps = history(repository, job, part.index * job.part_rows + row)
    claims = [step.at for step in steps if step.status is Status.RUNNING]
    return _timing(claims, steps[-1].at if state.status.is_final else None)


def _timing(claims: list[float], ended: float | None) -> Timing:
    if not claims or ended is None:
        return Timing(started=claims[-1] if claims else None, ended=ended)
    return Timing(
        started=claims[-1], ended=max(ended, claims[-1])
    )  # S3 says the time to the second: estimates of it go back a little
