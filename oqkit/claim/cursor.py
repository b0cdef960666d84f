"""What one worker knows of one open job: its markers, its parts, and which part to try next."""

from __future__ import annotations

from dataclasses import dataclass, field

from oqkit.claim.aside import Aside
from oqkit.claim.picker import PartPicker
from oqkit.errors import FormatError
from oqkit.limits import ClaimLimits
from oqkit.queue import key as keys
from oqkit.queue.cas import Versioned
from oqkit.queue.job import Job, check_orders, is_settled
from oqkit.queue.part import Part
from oqkit.queue.priority import rank
from oqkit.queue.reconcile import can_expire
from oqkit.queue.repository import Repository


@dataclass(slots=True)
class JobCursor:
    """A worker's view of a job, as far as it has looked; `choose` looks further when it must.

    At most `read_parts` of its limits are read at a time, and `window_parts` listed, however many the job has.
    """

    repository: Repository
    aside: Aside
    markers: dict[str, keys.Marker] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    """Those of its markers that only the doorbell told of: they may not be there yet."""
    heard: float | None = None
    """Since when it is known from the doorbell only, in monotonic seconds; None once a listing has shown a marker."""
    is_unmarked: bool = False
    """Whether it has no marker, as far as is known: then nobody else may find it."""
    latest: Job | None = None
    """The job as last read."""
    parts: dict[int, Versioned[Part]] = field(default_factory=dict)
    """Parts that were read and are not final."""
    final: set[int] = field(default_factory=set)
    """Parts in which nothing is left to do in the job's present generation."""
    unreadable: dict[int, float] = field(default_factory=dict)
    """Parts that were not understood, and until when each is left alone (epoch seconds)."""
    untouched: PartPicker = field(default_factory=PartPicker)
    """Parts that had no object when last listed."""
    unread: list[int] = field(default_factory=list)
    """Parts to read before the next listing: those that were never read, and a few that changed since."""
    is_known: bool = False
    """Whether its parts were looked at in the job's present generation."""
    cursor: int = 0
    """Where the next window of parts starts."""
    looked: float = float("-inf")
    read: float = float("-inf")
    """When the job was last read, in monotonic seconds."""
    not_before: float = 0.0
    """When there may be something to do, in epoch seconds."""
    recheck_s: float = 0.0
    is_refused: bool = False
    """Whether this worker may not run it, as far as it knows."""
    _limits: ClaimLimits = field(init=False)

    def __post_init__(self) -> None:
        self._limits = self.repository.limits.claim

    @property
    def job(self) -> Job:
        """The job as last read."""
        assert self.latest is not None, "the job is read before its parts are"  # noqa: S101
        return self.latest

    @property
    def gen(self) -> int:
        """The newest generation that markers tell of."""
        return max((marker.gen for marker in self.markers.values()), default=0)

    def rank(self, now: float, *, aging_s: float | None) -> float:
        """How early to try it, the highest first: by what the job says, or else its newest marker (see `oqkit.queue.priority`)."""
        newest = max(self.markers.values(), key=lambda marker: (marker.gen, marker.due), default=None)
        if newest is None:
            return 0.0
        is_told = self.latest is not None and self.latest.gen >= newest.gen
        priority = self.job.priority if is_told else newest.priority
        return rank(priority, due=newest.due, now=now, aging_s=aging_s)

    @property
    def type(self) -> str:
        """The task type."""
        if self.latest is not None:
            return self.latest.type
        return next((keys.type_of(marker.topic) for marker in self.markers.values()), "")

    @property
    def due(self) -> float:
        """The earliest time that markers tell of, in epoch seconds."""
        return min((marker.due for marker in self.markers.values()), default=float("inf"))

    @property
    def is_left_to_others(self) -> bool:
        """Whether there is nothing in it for this worker, as far as is known."""
        return self.is_refused or self.not_before == float("inf")

    @property
    def is_finished(self) -> bool:
        """Whether all parts are known to be final."""
        return len(self.final) >= self.job.n_parts

    @property
    def is_stuck(self) -> bool:
        """Whether nothing is left but parts that were not understood."""
        return bool(self.unreadable) and len(self.final) + len(self.unreadable) >= self.job.n_parts

    @property
    def is_ending(self) -> bool:
        """Whether so few parts are untouched that workers have to share the others."""
        return len(self.untouched) < self.repository.limits.queue.max_leases

    def meet(self, markers: dict[str, keys.Marker], *, are_all: bool, are_told: bool = False) -> None:
        """Take in markers of the job; `are_all`: it has no others; `are_told`: no listing has shown them."""
        self.told = self.told | markers.keys() - self.markers.keys() if are_told else self.told - markers.keys()
        if max(marker.gen for marker in markers.values()) > self.gen:
            self.not_before = 0.0
        self.markers = markers if are_all else {**self.markers, **markers}

    def hear(self, job: Job, *, since: float | None) -> None:
        """Take in the job as the doorbell told of it; `since` is None if a listing has shown a marker of it."""
        self.heard = since
        if self.latest is None or self.latest.gen < job.gen:
            self.start_over(job)

    def start_over(self, job: Job) -> None:
        """Take `job` as a new generation: what was known to be final may be open again."""
        self.latest, self.read = job, self.repository.store.clock.monotonic()
        self.parts, self.final, self.untouched, self.unread = {}, set(), PartPicker(), []
        self.is_known, self.cursor, self.looked = False, 0, float("-inf")
        self.not_before = self.recheck_s = 0.0
        self.is_refused = False

    def read_job(self, job_id: str) -> None:
        """Read the job again, and start over; raise `Missing` if it was deleted."""
        self.start_over(self.repository.read_job(job_id).doc)

    def make_sure(self) -> bool:
        """Look again whether a part is untouched if what is known of the job is old; return whether it was fresh.

        Raise `Missing` if it was deleted.
        """
        now = self.repository.store.clock.monotonic()
        if now - self.read < self._limits.job_fresh_s:
            return True
        job = self.repository.read_job(self.job.id).doc
        if job.gen > self.job.gen:
            self.start_over(job)
        self.read = now
        self.give_way()
        return False

    def learn(self, held: Versioned[Part]) -> None:
        """Take in the state of a part; one that has seen more orders than the job as last read makes that be read.

        Raise `FormatError` if it has seen more than the job has.
        """
        part = held.doc
        if part.gen > self.job.gen:
            self.read_job(self.job.id)
        check_orders(part, self.job)
        self.unreadable.pop(part.index, None)
        if is_settled(part, self.job):
            self.final.add(part.index)
            self.parts.pop(part.index, None)
        else:
            self.parts[part.index] = held

    def leave_alone(self, index: int, error: FormatError) -> None:
        """Put aside a part that is not understood."""
        name = self.repository.keys_of(self.job).part(index)
        self.unreadable[index] = self.aside.put(name, error, now=self.repository.now())
        self.parts.pop(index, None)

    def give_way(self) -> None:
        """Look again, for somebody else is about: he was first in a part that seemed untouched."""
        if self.untouched:
            self.untouched, self.looked = PartPicker(), float("-inf")

    def next_change(self, part: Part) -> float | None:
        """Return when time alone may next move rows of a part, in epoch seconds: they fall due, or their time to live ends; None for never."""
        when, end = part.next_change(), self.job.policy.expires_at
        return when if when is None or end is None or not can_expire(part) else min(when, end)

    # --- choosing a part -------------------------------------------------------------------------

    def choose(self) -> int | None:
        """Return a part in which there may be rows to claim, or None if none is known of."""
        index = self._pick()
        if index is None and self.unread:
            self._read_some()
            return self._pick()
        if index is None and self.repository.store.clock.monotonic() - self.looked >= self.repository.store.poll_s:
            self._look()
            index = self._pick()
        return index

    def _pick(self) -> int | None:
        if self.untouched:
            return self.untouched.step()
        job, now = self.job, self.repository.now()
        claimable = [n for n, held in self.parts.items() if self._is_claimable(held.doc, job, now)]
        return self.repository.rng.choice(claimable) if claimable else None

    def _is_claimable(self, part: Part, job: Job, now: float) -> bool:
        when = self.next_change(part)
        if part.gen < job.gen:
            return True
        if when is None or when > now:
            return False
        has_place = len(part.leases) < self.repository.limits.queue.max_leases
        return has_place or any(lease.expires <= now for lease in part.leases)

    def _look(self) -> None:
        """Learn about parts: by one LIST of a window of them, and a few reads of those that changed."""
        job = self.job
        self.looked = self.repository.store.clock.monotonic()
        if job.n_parts == 1:
            if not self.is_known and not self._is_aside(0):
                self.untouched = PartPicker([0])  # most likely nobody was here: the claim itself will tell
            elif not self._is_aside(0):
                self._read(0)
            self.is_known = True
            return
        keys_of = self.repository.keys_of(job)
        after = keys_of.part(self.cursor - 1) if self.cursor else None
        page = self.repository.store.list(keys_of.parts, after=after, limit=self._limits.window_parts)
        found = keys.part_etags(page.entries, n_parts=job.n_parts)
        stop = job.n_parts if page.next is None else max(found, default=job.n_parts - 1) + 1
        stop = min(stop, self.cursor + self._limits.window_parts)
        untouched = [n for n in range(self.cursor, stop) if n not in found]
        self.untouched = PartPicker(untouched, start=None if self.is_known else self.repository.rng.random())
        self.is_known = True
        self.cursor = 0 if stop >= job.n_parts else stop
        if not self.untouched:
            self.unread = self._worth_reading(found)
            self._read_some()

    def _worth_reading(self, found: dict[int, str]) -> list[int]:
        """Choose what to read, the last first: all that was never read, once, and a few of what changed since.

        Of a part that was read it is known when its leases run out, whatever else changes in it.
        """
        new = [n for n in found if n not in self.final and n not in self.parts and not self._is_aside(n)]
        changed = [n for n, held in self.parts.items() if found.get(n, held.etag) != held.etag]
        self.repository.rng.shuffle(new)
        return self.repository.rng.sample(changed, min(self._limits.read_parts, len(changed))) + new

    def _is_aside(self, index: int) -> bool:
        return self.unreadable.get(index, 0.0) > self.repository.now()

    def _read_some(self) -> None:
        n = self._limits.read_parts
        now, self.unread = self.unread[-n:], self.unread[:-n]
        for index in reversed(now):
            self._read(index)

    def _read(self, index: int) -> None:
        try:
            self.learn(self.repository.read_part(self.job, index))
        except FormatError as error:
            self.leave_alone(index, error)
