"""What whoever looks at a job does for it, so that it cannot be stuck: put up a lost marker, settle what is over.

A marker is lost if whoever submitted a job, or gave an order, died before writing it, or if somebody deleted it.
Then no worker knows of the job. A time to live that is over is written by the worker that next claims in a
part, and there may be none that has a function for it. Doing either more than once does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress

from oqkit.errors import FormatError, NotAllowed, StoreError
from oqkit.queue import gate
from oqkit.queue import key as keys
from oqkit.queue.job import ControlVerb, Job, caught_up
from oqkit.queue.part import Part, settle
from oqkit.queue.release import advance, release_followers
from oqkit.queue.repository import Repository
from oqkit.queue.transition import Status
from oqkit.queue.view import JobState


def restore_marker(repository: Repository, job: Job) -> bool:
    """Put up the marker of a job that is not settled; return False if it was there."""
    is_new = repository.put_marker(repository.marker(job, due=gate.due(job, repository.now())))
    if is_new:
        repository.ring()
    return is_new


def markers_for_good(repository: Repository, job: Job) -> list[str]:
    """Return the markers of a job that are due when a pause for good would end: no worker looks at them before the year 2200.

    Each order that was given in such a pause put one up. It is one LIST, or none for a job that was never paused so.
    """
    if not any(control.verb is ControlVerb.PAUSE and control.until is None for control in job.controls):
        return []
    folder, _, name = repository.marker(job, due=gate.NEVER).key.rpartition("/")
    pages = repository.store.list_all(f"{folder}/{name.partition('-')[0]}-")
    return [entry.key for page in pages for entry in page.entries if _generation(entry.key, job) <= job.gen]


def take_down_for_good(repository: Repository, job: Job) -> None:
    """Take down those markers of a job that has ended.

    The jobs that wait for it are told first, as a worker does it. Raise `NotAllowed` if that is left to others.
    """
    if stale := markers_for_good(repository, job):
        if job.has_followers:
            release_followers(repository, job)
        repository.delete_quietly(*stale)


def _generation(key: str, job: Job) -> float:
    """Return which generation of a job a marker tells of; infinity for another job's."""
    with suppress(FormatError):
        marker = keys.parse_marker(key)
        return marker.gen if marker.job == job.id else math.inf
    return math.inf


def newest_generations(markers: Iterable[keys.Marker]) -> dict[str, int]:
    """Return the newest generation that markers tell of, by job."""
    newest: dict[str, int] = {}
    for marker in markers:
        newest[marker.job] = max(marker.gen, newest.get(marker.job, 0))
    return newest


def announced_generation(job: Job) -> int:
    """Return the oldest generation of which a marker tells workers all they need: of tags nobody tells them."""
    orders = reversed(list(enumerate(job.controls, 2)))
    return next((gen for gen, order in orders if order.verb is not ControlVerb.TAG), 1)


def is_over(job: Job, now: float) -> bool:
    """Whether the time to live of a job is over."""
    return job.policy.expires_at is not None and now >= job.policy.expires_at


def settle_job(repository: Repository, job: Job, state: JobState | None = None) -> None:
    """Write what time alone has decided into every part of a job that is over; `state` says which that may be."""

    def attempt(index: int) -> None:
        if state is None or not state.part(index).is_final:
            _settle_part(repository, job, index)

    repository.map(attempt, range(job.n_parts))


def _settle_part(repository: Repository, job: Job, index: int) -> None:
    chance = repository.rng.random()

    def change(part: Part) -> Part:
        now = repository.now()
        if not is_over(job, now):  # by a clock that was set back since: next time
            return part
        return settle(caught_up(part, job, now=now), now=now, policy=job.policy, chance=chance)

    repository.update_part(job, index, change, applied=lambda part: not can_expire(part))


def is_overdue(part: Part, job: Job, now: float) -> bool:
    """Whether tasks wait although the time to live of their job is over."""
    return is_over(job, now) and can_expire(part)


def can_expire(part: Part) -> bool:
    """Whether tasks of a part wait to be started that expire once the time to live of their job is over."""
    return any(state.status is Status.PENDING and not state.is_reopened for state in part.states)


class Reconciler:
    """Looks after one job on behalf of somebody who waits for it or watches it: call `look` after each refresh."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._limits = repository.limits.queue
        self._seen: tuple[int, int] | None = None
        self._since = self._again = -math.inf
        self._patience_s = self._limits.stalled_s

    def look(self, state: JobState) -> bool:
        """Do what the job needs; return whether parts were written. After trouble with the store it waits a while."""
        now = self._repository.store.clock.monotonic()
        if now < self._again:
            return False
        try:
            return self._look(state, now)
        except (StoreError, NotAllowed):  # whoever only may read cannot help; a worker will
            self._again = now + self._limits.refused_s
            return False

    def _look(self, state: JobState, now: float) -> bool:
        limits, progress = self._limits, (state.job.gen, sum(held.doc.rev for held in state.known.values()))
        if progress != self._seen:
            self._seen, self._since, self._patience_s = progress, now, limits.stalled_s
        if is_over(state.job, state.at) and any(can_expire(part) for part in state.parts()):
            settle_job(self._repository, state.job, state)
            return True
        if now - self._since >= self._patience_s and (state.is_blocked or _is_stalled(state)):
            longer_s = limits.stalled_factor * self._patience_s
            self._since, self._patience_s = now, min(longer_s, limits.stalled_longest_s)
            if state.is_blocked:  # nobody may have told it that others have ended
                advance(self._repository, self._repository.read_job(state.job.id))
            else:
                restore_marker(self._repository, state.job)
        return False


def _is_stalled(state: JobState) -> bool:
    """Whether there is something to run now, and nobody is running anything."""
    if state.is_final or gate.opens(state.job, state.at) is not None:
        return False
    if any(lease.expires > state.at for held in state.known.values() for lease in held.doc.leases):
        return False
    changes = [held.doc.next_change() for held in state.known.values()]
    is_due = any(when is not None and when <= state.at for when in changes)
    is_behind = any(held.doc.gen < state.job.gen for held in state.known.values())
    return is_due or is_behind or len(state.known) < state.job.n_parts
