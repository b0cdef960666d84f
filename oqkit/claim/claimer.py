"""How a worker finds rows to run: pick a job among the open ones, pick a part, claim.

Everything here is bounded: one call of `find` tries a few jobs, each with a few parts, and reads a few
parts that it does not know, however many jobs, parts and workers there are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from oqkit.claim.aside import Aside
from oqkit.claim.cursor import JobCursor
from oqkit.claim.finished import FinishedMarkers
from oqkit.claim.lease import HeldLease
from oqkit.claim.limiter import Limiter
from oqkit.claim.poller import Listing, Poller, Topics
from oqkit.clock import new_id
from oqkit.errors import FormatError, Missing, StoreError
from oqkit.queue import gate
from oqkit.queue import key as keys
from oqkit.queue.cas import Versioned
from oqkit.queue.job import Job, caught_up
from oqkit.queue.part import Lease, Part, claim
from oqkit.queue.reconcile import markers_for_good
from oqkit.queue.release import Released, advance, release_followers
from oqkit.queue.repository import Repository

T = TypeVar("T")

log = logging.getLogger(__name__)


def _any(_job: Job) -> bool:
    return True


class Claimer:
    """Finds and claims work for one worker; call it from one thread at a time."""

    def __init__(
        self,
        repository: Repository,
        topics: Topics,
        *,
        worker: str,
        lease_s: float,
        can_run: Callable[[Job], bool],
        lease_rows: Callable[[Job], tuple[int, int | None]],
        aging_s: float | None = None,
        limiter: Limiter | None = None,
        on_aside: Callable[[str, Exception], None] = lambda job_id, error: None,  # noqa: ARG005 - nobody to tell
        on_ended: Callable[[Job], None] = lambda job: None,  # noqa: ARG005 - the same
    ) -> None:
        self._repository = repository
        self._others = repository.verifying(None)
        """For jobs that this worker need not be able to run, as it only tells them that others have ended."""
        self._limits = repository.limits.claim
        self._worker = worker
        self._lease_s = lease_s
        self._can_run = can_run
        self._lease_rows = lease_rows
        self._aging_s = aging_s
        self.limiter = limiter or Limiter(repository, worker=worker, lease_s=lease_s)
        self._on_aside = on_aside
        self._on_ended = on_ended
        self._cursors: dict[str, JobCursor] = {}
        self._aside = Aside(repository.rng, limits=self._limits)
        self._is_wanted: Callable[[Job], bool] = _any
        self.finished = FinishedMarkers(repository)
        self.discovery = Poller(repository, topics)

    def find(self, *, only: Callable[[Job], bool] = _any) -> HeldLease | None:
        """Claim rows of some job, of `only` some if so, or return None if there is nothing to claim right now."""
        self._is_wanted = only
        choices = self._choices()
        if self.discovery.is_due(has_work=bool(choices)):
            self._take_in(self.discovery.look())
            choices = self._choices()
        for job_id in choices:
            lease = self._try(job_id, self._cursors[job_id])
            if lease is not None:
                self.discovery.found_work()
                return lease
        self.sweep()
        return None

    def sweep(self, *, at_once: bool = False) -> None:
        """Delete the markers of jobs that are done, if it is time."""
        if at_once or self.finished.wait_s() <= 0:
            self.finished.perform()

    def wait_s(self) -> float:
        """Return how long `find` has nothing to do, in seconds."""
        now = self._repository.now()
        wakes = [max(one.not_before, one.due) - now for one in self._cursors.values() if not self._is_paused(one)]
        return max(0.0, min([*wakes, self.discovery.next_look_s()]))

    def is_done(self) -> bool:
        """Whether, as far as is known, no open job has or will have anything for this worker: what is paused it will have."""
        now = self._repository.now()
        return all(
            one.is_left_to_others or (now < one.not_before and (now < self._aside.until(job_id) or one.is_stuck))
            for job_id, one in self._cursors.items()
        )

    def ended(self, lease: HeldLease) -> None:
        """Take in what the last commit of a lease showed of its part."""
        one = self._cursors.get(lease.job.id)
        if one is None or one.latest is None:
            return
        one.recheck_s = one.not_before = 0.0
        self._aside.works(lease.job.id)

        def take_in() -> None:
            one.learn(lease.held)
            if not self._finish(one):
                self._postpone(one, lease.job, lease.part)

        self._unless_gone(one, lease.job.id, take_in)
        self.sweep()

    def put_off(self, job_id: str, *, until: float) -> None:
        """Leave a job alone until then (epoch seconds), whatever becomes of others."""
        one = self._cursors.get(job_id)
        if one is not None:
            one.not_before = until

    def lost(self, lease: HeldLease) -> None:
        """Forget what a lease that is gone showed of its part."""
        one = self._cursors.get(lease.job.id)
        if one is not None:
            one.parts.pop(lease.index, None)

    def put_aside(self, job_id: str, error: Exception) -> None:
        """Leave a job alone for a while with which something went wrong; the others go on."""
        self._on_aside(job_id, error)
        until = self._aside.put(job_id, error, now=self._repository.now())
        if (one := self._cursors.get(job_id)) is not None:
            one.not_before = until

    # --- choosing a job --------------------------------------------------------------------------

    def _take_in(self, listing: Listing) -> None:
        now = self._repository.store.clock.monotonic()
        seen: dict[str, dict[str, keys.Marker]] = {}
        for marker in listing.markers:
            if marker.key not in self.finished and self._aside.until(marker.key) <= self._repository.now():
                seen.setdefault(marker.job, {})[marker.key] = marker
        if listing.is_complete:
            for job in self._cursors.keys() - seen.keys():
                self._miss(job, self._cursors[job], now)
        for job, markers in seen.items():
            is_new = job not in self._cursors
            one = self._cursors.setdefault(job, JobCursor(self._repository, self._aside))
            one.not_before = max(one.not_before, self._aside.until(job))
            one.meet(markers, are_all=listing.is_complete, are_told=listing.job is not None)
            if listing.job is None:
                one.heard, one.is_unmarked = None, False
            else:
                one.hear(listing.job, since=now if is_new else one.heard)

    def _miss(self, job_id: str, one: JobCursor, now: float) -> None:
        """Take in that a listing of all markers has none of a job.

        Whoever took it down saw that the job is done. But the job of which only the doorbell told may have lost its
        submitter before the marker was there: such a job is never dropped, and gets one if it is still open.
        """
        if one.heard is None or one.is_left_to_others:
            del self._cursors[job_id]
        elif now - one.heard >= self._repository.limits.queue.marker_late_s:
            one.is_unmarked = True
            if one.latest is None or one.due <= self._repository.now():
                return  # it is looked at anyway
            with suppress(StoreError):  # then the next listing says the same
                self._put_marker(one, one.job, due=gate.due(one.job, self._repository.now()))

    def _choices(self) -> list[str]:
        """Return a few jobs to try: of the highest priority that has any, in random order."""
        now = self._repository.now()
        ready = [
            (one.rank(now, aging_s=self._aging_s), job)
            for job, one in self._cursors.items()
            if one.not_before <= now and one.due <= now and not self._is_paused(one)
            if one.latest is None or self._is_wanted(one.latest)
        ]
        self._repository.rng.shuffle(ready)
        ready.sort(key=lambda pair: -pair[0])
        return [job for _, job in ready[: self._limits.find_jobs]]

    def _is_paused(self, one: JobCursor) -> bool:
        """Whether nothing of a job is started since its type is paused, or the queue; what was claimed goes on."""
        return self.discovery.pauses.sign(one.type) is not None

    def _try(self, job_id: str, one: JobCursor) -> HeldLease | None:
        def claim_in() -> HeldLease | None:
            if one.latest is None or one.latest.gen < one.gen:
                one.read_job(job_id)
                self._drop_premature(one)
            return self._claim_in(one)

        return self._unless_gone(one, job_id, claim_in)

    def _unless_gone(self, one: JobCursor, job_id: str, action: Callable[[], T]) -> T | None:
        """Do something with a job; it is taken down if it is gone, and put aside if anything is wrong with it."""
        try:
            return action()
        except Missing:
            self._take_down(one, job_id)  # the job was deleted: its markers are all that is left of it
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - guarantee G9: whatever a document brings about, the others go on
            self.put_aside(job_id, error)
        return None

    def _drop_premature(self, one: JobCursor) -> None:
        """Pass over markers of a generation that the job, read after them, does not have: they mean nothing."""
        job, now = one.job, self._repository.now()
        for key in [key for key, marker in one.markers.items() if marker.gen > job.gen]:
            error = FormatError(f"marker {key!r}: job {job.id} has had {job.gen - 1} orders, not so many")
            self._aside.put(key, error, now=now)
            del one.markers[key]

    def _claim_in(self, one: JobCursor) -> HeldLease | None:
        job = one.job
        if not self._may_start(one, job):
            return None
        for _ in range(self._limits.job_claims):
            index = one.choose()
            if one.job is not job:  # it was read again meanwhile: it may be paused, or have code that must not run here
                job = one.job
                if not self._may_start(one, job):
                    return None
            if index is None:
                break
            lease = self._claim(one, index)
            if lease is not None:
                return lease
        else:
            return None  # each of them was settled or taken by others: go on with more at the next call
        if not self._finish(one) and not one.unread:
            self._rest(one)
        return None

    def _may_start(self, one: JobCursor, job: Job) -> bool:
        """Say whether this worker may start tasks of a job now; if not, the job is left alone for as long as that holds."""
        if job.is_blocked(self._repository.now()):
            job = self._recheck(one)
        one.is_refused = not self._can_run(job)
        if one.is_refused:
            one.not_before = self._repository.now() + self._limits.refused_s
        elif (when := gate.opens(job, self._repository.now())) is not None:
            self._move_marker(one, job, due=when)
        elif not self._is_wanted(job):
            return False
        elif job.limits and (when := self.limiter.opens(job)) is not None:
            one.not_before = when
        else:
            return True
        return False

    def _recheck(self, one: JobCursor) -> Job:
        """Look whether the jobs that one waits for have ended, in case that nobody told it."""
        advance(self._others, self._others.read_job(one.job.id))
        one.read_job(one.job.id)  # again, as what was read for others need not be signed
        return one.job

    # --- claiming --------------------------------------------------------------------------------

    def _claim(self, one: JobCursor, index: int) -> HeldLease | None:
        repository, job = self._repository, one.job
        lease_id, chance = new_id(repository.rng), repository.rng.random()

        def change(part: Part) -> Part:
            now = repository.now()
            if part.gen > job.gen or gate.opens(job, now) is not None:
                return part  # there is an order that this worker has not read, or the job is held back by now
            lease = Lease(id=lease_id, worker=self._worker, expires=now + self._lease_s)
            part = caught_up(part, job, now=now)
            most = self._max_rows(one, part, now)
            limits = repository.limits.queue
            return claim(part, lease, max_rows=most, now=now, policy=job.policy, chance=chance, limits=limits)

        def has_lease(part: Part) -> bool:
            return any(lease.id == lease_id for lease in part.leases)

        known = one.parts.get(index) or Versioned(job.fresh_part(index), None)
        if known.etag is None and not one.make_sure():
            return None
        try:
            held = repository.update_part(job, index, change, applied=has_lease, held=known)
            one.learn(held)
        except FormatError as error:
            one.leave_alone(index, error)
            return None
        except Missing:
            one.read_job(job.id)  # the part was deleted: is the job?
            return None
        if not has_lease(held.doc):
            self.finished.met_another()
            one.give_way()
            self.discovery.came_late(job)
            return None
        one.recheck_s = 0.0
        lease = HeldLease(repository, job, held, lease_id, lease_s=self._lease_s)
        lease.ticket = self.limiter.reserve(job, len(lease.rows)) if job.limits else None
        return lease

    def _max_rows(self, one: JobCursor, part: Part, now: float) -> int:
        """Return how many rows to claim: as many as are worth a lease, or an equal share if others need some, too.

        While the pace is unknown, a part is taken whole: the holder hands back what turns out to be too much.
        """
        least, most = self._lease_rows(one.job)
        if one.job.limits and (room := self.limiter.room(one.job)) is not None:
            most = room if most is None else min(most, room)
        n_due = sum(map(len, part.due(now).values()))
        share = max(least, n_due // max(1, self._repository.limits.queue.max_leases - len(part.leases)))
        if most is None:
            return share if part.leases else part.n_rows
        return min(most, share) if one.is_ending else most

    # --- the end of a job, and rest --------------------------------------------------------------

    def _finish(self, one: JobCursor) -> bool:
        """Take down the markers of a job whose parts are all known to be final; return whether it was so."""
        if one.is_finished:
            followers = release_followers(self._others, one.job) if one.job.has_followers else []
            for key in markers_for_good(self._repository, one.job):
                self.finished.add(key)
            if one.job.pause(now := self._repository.now()) is not None:  # no listing may have shown its marker yet
                self.finished.add(self._repository.marker(one.job, due=gate.due(one.job, now)).key)
            self._take_down(one, one.job.id, up_to=one.job.gen)
            self._on_ended(one.job)
            for follower in followers:
                self._hear(follower)
        return one.is_finished

    def _hear(self, told: Released) -> None:
        """Take in a job that this worker has just released."""
        if self.discovery.topics.holds(told.marker.topic):
            one = self._cursors.setdefault(told.job.id, JobCursor(self._repository, self._aside))
            one.meet({told.marker.key: told.marker}, are_all=False)

    def _take_down(self, one: JobCursor, job_id: str, *, up_to: int | None = None) -> None:
        newer = {key: marker for key, marker in one.markers.items() if up_to is not None and marker.gen > up_to}
        for key in sorted(one.markers.keys() - newer.keys(), key=lambda key: (one.markers[key].gen, key)):
            self.finished.add(key)  # the newest goes last: if that is where it ends, somebody looks at the job again
        if newer:
            one.markers = newer  # it was given an order meanwhile: the job is to be read again
        else:
            self._cursors.pop(job_id, None)

    def _rest(self, one: JobCursor) -> None:
        """Leave a job alone until its rows fall due, or for a while that grows as long as nothing happens."""
        now, poll_s, limits = self._repository.now(), self._repository.store.poll_s, self._limits
        if one.is_stuck:
            one.not_before = max(now + poll_s, min(one.unreadable.values()))
            return
        if one.is_unmarked:
            self._put_marker(one, one.job, due=gate.due(one.job, now))
        if one.cursor:
            one.not_before = now + poll_s  # nothing in this window of parts, but there are windows left
            return
        first_s, longest_s = poll_s * limits.recheck_first_polls, poll_s * limits.recheck_longest_polls
        one.recheck_s = min(max(one.recheck_s * 2, first_s), longest_s)
        changes = [when for held in one.parts.values() if (when := one.next_change(held.doc)) is not None]
        one.not_before = min([now + one.recheck_s, *(when for when in changes if when > now)])

    def _postpone(self, one: JobCursor, job: Job, part: Part) -> None:
        """Move the marker of a job of one part that has nothing to do for a while out of the way of due work."""
        when = one.next_change(part)
        if job.n_parts > 1 or when is None or part.leases:
            return
        if when - self._repository.now() < self._limits.later_s:
            return
        self._move_marker(one, job, due=when)

    def _move_marker(self, one: JobCursor, job: Job, *, due: float) -> None:
        """Let the marker of a job lie where it is in nobody's way until `due`, and leave the job alone so long."""
        if len(one.markers) > 1 and self._repository.marker(job, due=due).key in one.told:
            one.is_unmarked = True  # others are to go, and this one may not be there yet
        marker, is_there = self._put_marker(one, job, due=due)
        # One of this generation that lies elsewhere may be what another worker has just put up instead of ours.
        newer = {key: other for key, other in one.markers.items() if other.gen >= job.gen + (not is_there)}
        for key in one.markers.keys() - newer.keys() - {marker.key}:
            self._repository.delete_quietly(key)
        one.markers = {**newer, marker.key: marker}
        one.not_before = 0.0 if one.gen > job.gen else due

    def _put_marker(self, one: JobCursor, job: Job, *, due: float) -> tuple[keys.Marker, bool]:
        """Put up a marker unless it is known to be there; return it, and whether it was."""
        marker = self._repository.marker(job, due=due)
        is_there = marker.key in one.markers and not one.is_unmarked
        if not is_there:
            self._repository.put_marker(marker)
        one.markers = {**one.markers, marker.key: marker}
        one.heard, one.is_unmarked = None, False
        return marker, is_there
