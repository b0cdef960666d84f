"""The search for lost jobs: those that have work, and no marker that would tell a worker of it.

Every worker takes part in it, but one step at a time is enough for a queue: how far the search has come is in one
object, and whoever finds that the last step is long ago makes the next. A step lists job objects, which the store
dates, and looks at those that were written since the last pass: most have a marker or are done. Jobs that are
open are remembered, so that one which loses its marker later is missed. A job whose time to live is over is
settled, and of one that was deleted what is left is removed. So the cost follows what was submitted since, not what there is. Now and then schedules are searched, too, jobs are
deleted that were to stay only for some time (`oqkit.queue.keeper`), and what nobody counts on goes (`oqkit.queue.tidy`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace

from oqkit.errors import Conflict, FormatError, Missing, NotAllowed, StoreError, Unavailable
from oqkit.queue import key as keys
from oqkit.queue import record
from oqkit.queue.bound import Id, Moment, Name
from oqkit.queue.control import bring_up
from oqkit.queue.deletion import clear
from oqkit.queue.document import FORMAT, dump, load_as
from oqkit.queue.ending import is_done
from oqkit.queue.firing import restore_alarms
from oqkit.queue.job import Control, Job
from oqkit.queue.keeper import Keeper
from oqkit.queue.reconcile import (
    announced_generation,
    is_over,
    newest_generations,
    restore_marker,
    settle_job,
    take_down_for_good,
)
from oqkit.queue.repository import Repository
from oqkit.queue.tag_index import put_up_if_possible
from oqkit.queue.tidy import Tidier, TidyProgress
from oqkit.store.base import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the search has come; times in epoch seconds by the store's clock."""

    at: Moment = 0.0
    """When the last step was made."""
    began: Moment = 0.0
    """When the present pass began."""
    since: Moment = 0.0
    """Jobs that were written before were all looked at."""
    after: Name = ""
    """The key behind which the present pass goes on."""
    alarmed: Moment = 0.0
    """When schedules were last searched for those that have lost their alarm; 0 while nobody has heard of any."""
    kept: Moment = 0.0
    """When a job was last seen that is to be deleted some time after its end; 0 if there is none."""
    tidy: TidyProgress = field(default_factory=TidyProgress)
    """How far the removal of what nobody counts on has come."""
    watched: Mapping[Id, Moment | None] = field(default_factory=dict)
    """Jobs that were open when last looked at, and when their time to live is over."""


class Sweep:
    """One worker's part in the search. A duty.

    `marked` gives the jobs that lately had a marker, and the newest generation that one told of, if that is known;
    `alarmed` the schedules that had an alarm.
    """

    name = "sweep"

    def __init__(
        self,
        repository: Repository,
        *,
        marked: Callable[[], Mapping[str, int] | None] = lambda: None,
        alarmed: Callable[[], AbstractSet[str]] = frozenset,
    ) -> None:
        self._repository = repository
        self._limits = repository.limits.queue
        self._marked_lately = marked
        self._alarmed_lately = alarmed
        self._keeper = Keeper(repository)
        self._tidier = Tidier(repository)
        self._next = self._monotonic() + self._limits.sweep_first_s * (1 + repository.rng.random())

    def wait_s(self) -> float:
        """Return how long there is nothing to do, in seconds."""
        return max(0.0, self._next - self._monotonic())

    def perform(self) -> None:
        """Make a step, unless somebody made one not long ago."""
        self._next = self._monotonic() + self._limits.sweep_every_s
        progress, etag = self._read()
        now, limits = self._repository.now(), self._limits
        if now - progress.at < limits.sweep_every_s * limits.sweep_early_share:
            return
        progress = replace(progress, alarmed=self._schedules(progress.alarmed, now))
        if progress.kept and not self._keeper.look():
            progress = replace(progress, kept=0.0)
        progress = replace(progress, tidy=self._tidier.step(progress.tidy))
        entries, step = self._listed(progress, now)
        jobs = [keys.job_of_key(entry.key) for entry in entries if self._is_news(entry, progress.since, now)]
        with suppress(Conflict, Missing, Unavailable):  # somebody else has made this step
            if len(jobs) > limits.sweep_sample_jobs:
                etag = self._write(replace(progress, at=now), etag)
            watched = self._looked_at(jobs, progress.watched)
            step = replace(step, tidy=replace(step.tidy, news=now)) if jobs else step
            self._write(replace(step, watched=watched, kept=now if self._keeper.take_news() else step.kept), etag)

    def leave(self) -> None:
        """Leave the next step to others."""

    def _monotonic(self) -> float:
        return self._repository.store.clock.monotonic()

    # --- how far it has come ---------------------------------------------------------------------

    def _read(self) -> tuple[Progress, str | None]:
        try:
            blob = self._repository.store.read(keys.SWEEP)
        except Missing:
            return Progress(), None
        try:
            progress = load_as(Progress, blob.data, what=keys.SWEEP)
        except FormatError:
            progress = Progress()  # it is only about what may be left out: begin anew
        return (progress if self._is_sane(progress) else Progress()), blob.etag

    def _write(self, progress: Progress, etag: str | None) -> str:
        told = {**asdict(progress), "tidy": record.write(progress.tidy)}
        store, data = self._repository.store, dump({"format": FORMAT, "requires": [], **told})
        return store.create(keys.SWEEP, data) if etag is None else store.replace(keys.SWEEP, data, etag=etag)

    def _listed(self, progress: Progress, now: float) -> tuple[list[Entry], Progress]:
        """Return the next job objects, and how far the search is once they were looked at."""
        began = progress.began if progress.after else now
        found: list[Entry] = []
        after, n_news = progress.after or None, 0
        for _ in range(self._limits.sweep_pages):
            page = self._repository.store.list(keys.JOBS, after=after)
            found += page.entries
            after = page.next
            n_news += sum(self._is_news(entry, progress.since, now) for entry in page.entries)
            if after is None or n_news >= self._limits.sweep_jobs:
                break
        if after is None:
            return found, replace(progress, at=now, began=began, since=began - self._limits.sweep_fresh_s, after="")
        return found, replace(progress, at=now, began=began, after=after)

    def _is_news(self, entry: Entry, since: float, now: float) -> bool:
        return entry.modified_s is None or since <= entry.modified_s <= now - self._limits.sweep_fresh_s

    def _is_sane(self, progress: Progress) -> bool:
        """Whether `progress` can be: it may have been written by anybody."""
        latest = self._repository.now() + self._limits.sweep_fresh_s
        is_past = all(
            time <= latest for time in (progress.at, progress.began, progress.since, progress.alarmed, progress.kept)
        )
        is_key = not progress.after or progress.after.startswith(keys.JOBS)
        return (
            is_past
            and is_key
            and progress.tidy.is_sane(latest)
            and all(keys.is_job_id(job) for job in progress.watched)
        )

    def _schedules(self, searched: float, now: float) -> float:
        """Search the schedules, if there are any and it is time; return when that was done last."""
        known = self._alarmed_lately()
        if (not known and not searched) or now - searched < self._limits.schedule_sweep_s:
            return searched
        return now if restore_alarms(self._repository, known=known) else 0.0

    # --- looking at jobs -------------------------------------------------------------------------

    def _looked_at(self, jobs: list[str], watched: Mapping[str, float | None]) -> dict[str, float | None]:
        """Look at jobs, and return those that are open."""
        if not jobs and not watched:
            return {}
        marked, is_complete = self._marked()
        known = [job for job in watched if job not in set(jobs)]
        missed = [job for job in known if job not in marked]
        if not is_complete:  # then they may well have one
            missed = self._repository.rng.sample(missed, min(self._limits.sweep_sample_jobs, len(missed)))
        over = [job for job in known if _is_past(watched[job], self._repository.now())]
        chosen = list(dict.fromkeys([*jobs, *missed, *over]))
        open_jobs = {job: watched[job] for job in known if job not in set(chosen)}
        for job in self._repository.map(lambda job_id: self._look_at(job_id, marked), chosen):
            open_jobs |= job
        return dict(list(open_jobs.items())[-self._limits.sweep_watched_jobs :])

    def _marked(self) -> tuple[Mapping[str, int], bool]:
        """Return the jobs that have a marker, and of what generation, and whether those are all."""
        if (known := self._marked_lately()) is not None:
            return known, True
        page = self._repository.store.list(keys.OPEN)
        return newest_generations(_markers(page.entries)), page.next is None

    def _look_at(self, job_id: str, marked: Mapping[str, int]) -> dict[str, float | None]:
        """Return the job, if it is open, and when its time to live is over."""
        try:
            job = self._repository.read_job_or_tombstone(job_id).doc
        except (Missing, FormatError):
            return {}
        except StoreError:
            return {job_id: None}  # the next step looks again
        put_up_if_possible(self._repository, job)
        try:
            self._keeper.note(job)
            if job.deleted is not None:
                return {} if clear(self._repository, job).is_all else {job_id: None}
            return {job_id: job.policy.expires_at} if self._is_open(job, marked.get(job_id, 0)) else {}
        except (StoreError, NotAllowed):
            return {job_id: job.policy.expires_at}

    def _is_open(self, job: Job, marked: int) -> bool:
        """Whether a job, whose newest marker is of the generation `marked` (0: it has none), has work; then it has a marker."""
        is_marked = marked >= announced_generation(job)
        if is_over(job, self._repository.now()):
            settle_job(self._repository, job)
        elif is_marked and job.pause(self._repository.now()) is None:
            return True
        if not job.n_tasks or is_done(self._repository, job):
            take_down_for_good(self._repository, job)
            return False
        if not is_marked and restore_marker(self._repository, job) and marked:
            self._bring_up(job, job.controls[marked - 1 :])
        return True

    def _bring_up(self, job: Job, orders: Iterable[Control]) -> None:
        """Carry out orders whose giver died before telling workers of them: the job may be held back, and so left alone by those."""
        for order in orders:
            with suppress(FormatError):  # the other parts are up to date nevertheless
                bring_up(self._repository, job, order)


def _is_past(expires_at: float | None, now: float) -> bool:
    return expires_at is not None and expires_at <= now


def _markers(entries: Iterable[Entry]) -> Iterable[keys.Marker]:
    for entry in entries:
        with suppress(FormatError):
            yield keys.parse_marker(entry.key)
