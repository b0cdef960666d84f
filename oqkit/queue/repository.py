"""The objects of one queue: its settings, jobs, parts, markers and doorbell, each with one way to touch it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from oqkit.clock import new_id, system_random
from oqkit.errors import (
    Conflict,
    Denied,
    FormatError,
    JobMissing,
    Missing,
    NotSigned,
    Unavailable,
    UnknownQueue,
    UsageError,
)
from oqkit.limits import Limits
from oqkit.printable import printable
from oqkit.queue import key as keys
from oqkit.queue.bell import News, Trail, dump_news
from oqkit.queue.cas import JOB, PART, CasLoop, Versioned
from oqkit.queue.document import FORMAT, dump, load_job, load_part, signed_text
from oqkit.queue.document_type import DocumentType
from oqkit.queue.job import Job
from oqkit.queue.layout import SETTINGS, Layouts, Settings, check_shards
from oqkit.queue.part import Part
from oqkit.queue.signature import Keyring, Signature
from oqkit.queue.tombstone import named, tombstone
from oqkit.queue.transition import Status
from oqkit.store.base import Store
from oqkit.store.parallel import map_parallel
from oqkit.store.probe import probe

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


class Repository:
    """One queue. Make it with `open_repository`. Everything that works on the queue finds its `limits` here."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        rng: random.Random | None = None,
        signer: Callable[[], Keyring] | None = None,
        keyring: Keyring | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.store = store
        self.limits = limits or Limits()
        self.layouts = Layouts(store, settings, fresh_s=self.limits.queue.layout_fresh_s)
        self.rng = rng or system_random()
        self._signer = signer
        self._keyring = keyring
        self.loop = CasLoop(store, self.rng, limits=self.limits.queue)
        self._rang: float | None = None
        self._trail = Trail(self.limits.queue.bell_trail_jobs)
        self._is_delete_denied = False

    def verifying(self, keyring: Keyring | None) -> Repository:
        """Return this queue for somebody who reads only jobs that are signed with one of these keys; None: all jobs."""
        if keyring is self._keyring:
            return self
        return Repository(
            self.store, self.settings, rng=self.rng, signer=self._signer, keyring=keyring, limits=self.limits
        )

    @property
    def settings(self) -> Settings:
        """What holds for the whole queue, as far as is known."""
        return self.layouts.settings

    def now(self) -> float:
        """Return the store's time in epoch seconds."""
        return self.store.now()

    def map(self, function: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Apply `function` to every item, in parallel where the store's latency makes that worth it."""
        return map_parallel(function, items, n_threads=self.store.parallel)

    # --- jobs ------------------------------------------------------------------------------------

    def keys_of(self, job: Job) -> keys.JobKeys:
        """Return the keys of a job's objects."""
        return keys.JobKeys(job=job.id, shard=self.layouts.shard(job), created=job.created)

    def read_job(self, job_id: str) -> Versioned[Job]:
        """Return a job object, or raise `JobMissing`, also if it was deleted; `FormatError` if it is not the one of that id."""
        return _living(self.read_job_or_tombstone(job_id))

    def read_job_or_tombstone(self, job_id: str) -> Versioned[Job]:
        """Do the same, but return the tombstone of a job that was deleted."""
        with named(job_id):
            return self.loop.read(self._job_type(job_id), self.layouts.job_key(job_id))

    def read_changed_job(self, job_id: str, *, etag: str) -> Versioned[Job] | None:
        """Return a job object if it has another etag, else None; raise what `read_job` does."""
        key = self.layouts.job_key(job_id)
        with named(job_id):
            blob = self.store.read_changed(key, etag=etag)
        return None if blob is None else _living(Versioned(self._job_type(job_id).load(blob.data, key), blob.etag))

    def load_job(self, data: bytes, key: str) -> Job:
        """Read a job that was found somewhere, or raise `FormatError`; `NotSigned` if it has to be signed and is not."""
        job = load_job(data, key=key, keyring=self._keyring)
        self.layouts.shard(job)
        if self._keyring is not None and job.deleted is None:
            what, age, valid_until = f"job object {key!r}", (job.created, job.code_rev), job.valid_until
            self._keyring.check_age(job.id, age=age, valid_until=valid_until, now=self.now(), what=what)
            if job.slot is not None and job.slot.at > self.now() + self.limits.queue.schedule_fresh_s:
                raise NotSigned(f"{what} is of a slot of the schedule {job.slot.schedule!r:.80} that is still to come")
        return job

    def signed(self, job: Job) -> Job:
        """Return a job with the signature of whoever submits here."""
        if self._signer is None:
            return job
        job = replace(job, valid_until=self.now() + self.limits.queue.signature_s)
        return replace(job, signature=self._signer().sign(signed_text(job)))

    def sign(self, text: Callable[[], str]) -> Signature | None:
        """Return a signature of a text by whoever works here; None if there is no key."""
        return None if self._signer is None else self._signer().sign(text())

    def check_signed(self, signature: Signature | None, *, what: str) -> None:
        """Raise `NotSigned` if who reads here asks for signatures, and this is none that is valid."""
        if self._keyring is not None:
            self._keyring.verify(signature, what=what)

    def is_own(self, signature: Signature) -> bool:
        """Whether a signature is of whoever works here."""
        try:
            if self._signer is not None:
                self._signer().verify(signature, what="a signature")
        except NotSigned:
            return False
        return self._signer is not None

    def signed_anew(self, job: Job, *, before: Job) -> Job:
        """Return a job whose function was replaced with a new signature, if it had one of ours before.

        If not, nobody here has ever vouched for its inputs: then it is left without, and that is said.
        """
        if self._signer is None:
            return job
        try:
            self._signer().verify(before.signature, what=f"job {job.id}")
        except NotSigned as error:
            log.warning("not signed anew, so workers that run signed jobs leave it alone: %s", printable(error))
            return job
        return self.signed(job)

    def create_job(self, job: Job) -> Versioned[Job]:
        """Create the job object, or return the one that is there, or its tombstone: `origin` tells which of the two happened."""
        key = self.layouts.job_key(job.id)
        job = replace(job, rev=1, op=new_id(self.rng))
        if job.slot is None:  # else it has the signature of whoever made the schedule: who fires it vouches for nothing
            job = self.signed(job)
        last: Exception | None = None
        for _ in self.loop.attempts():
            try:
                return Versioned(job, self.store.create(key, JOB.dump(job)))
            except (Conflict, Unavailable) as error:
                last = error
            try:
                return self.loop.read(self._job_type(job.id), key)
            except (Missing, Unavailable):
                continue  # not applied so far, which proves nothing: repeat the same create
        raise Unavailable(f"job {job.id} may or may not have been submitted: {last}") from last

    def update_job(
        self,
        job_id: str,
        change: Callable[[Job], Job],
        *,
        applied: Callable[[Job], bool],
        held: Versioned[Job] | None = None,
    ) -> Versioned[Job]:
        """Change a job object through the compare-and-set loop; `held` (if fresh) saves the first read.

        Raise `JobMissing` if it is not there, or was deleted.
        """
        key = self.layouts.job_key(job_id)

        def changed(job: Job) -> Job:
            return change(_living(Versioned(job, None)).doc)

        with named(job_id):
            return self.loop.update(self._job_type(job_id), key, changed, applied=applied, held=held)

    def bury_job(self, seen: Job, outcome: Iterable[Status], *, by: str = "") -> Job | None:
        """Put a tombstone in the place of a job, unless it was given an order that was not `seen`: then return None.

        `outcome` is what its tasks have ended in, and `by` who asks for it.
        """
        key = self.layouts.job_key(seen.id)

        def buried(job: Job) -> Job:
            is_same = (job.origin, job.gen) == (seen.origin, seen.gen)
            return tombstone(job, now=self.now(), outcome=outcome, by=by) if is_same else job

        left = self.loop.update(self._job_type(seen.id), key, buried, applied=lambda job: job.deleted is not None).doc
        return left if left.deleted is not None else None

    def _job_type(self, job_id: str) -> DocumentType[Job]:
        """Return how to read the job object of this job: another one at its key is refused."""

        def load_own(data: bytes, key: str) -> Job:
            job = self.load_job(data, key)
            if job.id != job_id:
                raise FormatError(f"job object {key!r} is that of another job: {job.id!r}")
            return job

        return replace(JOB, load=load_own)

    # --- parts -----------------------------------------------------------------------------------

    def read_part(self, job: Job, index: int) -> Versioned[Part]:
        """Return a part; an absent object is a fresh part. Raise `FormatError` if it is not that part of that job."""
        return self.loop.read(_part_type(job, index), self.keys_of(job).part(index), absent=job.fresh_part(index))

    def read_changed_part(self, job: Job, index: int, *, etag: str) -> Versioned[Part] | None:
        """Return a part if its object has another etag, else None; raise what `read_part` does, and `Missing`."""
        key = self.keys_of(job).part(index)
        blob = self.store.read_changed(key, etag=etag)
        return None if blob is None else Versioned(_part_type(job, index).load(blob.data, key), blob.etag)

    def update_part(
        self,
        job: Job,
        index: int,
        change: Callable[[Part], Part],
        *,
        applied: Callable[[Part], bool],
        held: Versioned[Part] | None = None,
        patience_s: float | None = None,
    ) -> Versioned[Part]:
        """Change a part through the compare-and-set loop, creating its object if it is absent."""

        def dated(part: Part) -> Part:
            new = change(part)
            return new if new == part else replace(new, at=self.now())

        key = self.keys_of(job).part(index)
        absent = job.fresh_part(index)
        kind = _part_type(job, index)
        return self.loop.update(kind, key, dated, applied=applied, held=held, absent=absent, patience_s=patience_s)

    # --- markers and doorbell --------------------------------------------------------------------

    def marker(self, job: Job, *, due: float) -> keys.Marker:
        """Return the marker that says: this job, in its present generation, has work from `due` on."""
        topic = keys.topic_of(job.type, by_value=bool(job.code.digest))
        shard = self.layouts.shard(job)
        is_later = due > self.now()
        return keys.Marker(
            job=job.id, gen=job.gen, priority=job.priority, due=due, is_later=is_later, topic=topic, shard=shard
        )

    def announce(self, marker: keys.Marker, *, job: Job | None = None) -> None:
        """Write a marker and ring the doorbell, both at once where that saves waiting; `job` is new."""
        news = None
        if job is not None:
            news = News(marker=marker, job=job)
            self._trail.add(marker)
        began = self.store.clock.monotonic()
        calls: tuple[Callable[[], bool], ...] = (lambda: self.put_marker(marker), lambda: self.ring(news))
        _, rang = self.map(_call, calls)
        if not rang or self.store.clock.monotonic() - began > self.limits.queue.marker_late_s:
            self.ring()  # the last ring may have been too early to tell of this marker

    def put_marker(self, marker: keys.Marker) -> bool:
        """Write a marker; doing it twice is fine. Return False if it was there before."""
        try:
            return self.loop.put_once(marker.key, b"")
        except Unavailable as error:
            raise Unavailable(
                f"job {marker.job} is stored, but its marker could not be written, so workers may not see it: {error}"
            ) from error

    def delete_quietly(self, *names: str) -> bool:
        """Delete what does no harm if it stays; False if that is not allowed, which is said once."""
        try:
            self.store.delete_many(names)
        except Unavailable:
            return True  # perhaps it was deleted; if not, it is found again
        except Denied as error:
            if not self._is_delete_denied:
                log.warning(
                    "what is done with cannot be deleted, so every worker that starts looks at it again; allow deleting "
                    "below %s/open/ and %s/work/: %s", self.store.url, self.store.url, printable(error),
                )  # fmt: skip
            self._is_delete_denied = True
            return False
        self._is_delete_denied = False
        return True

    def ring(self, news: News | None = None) -> bool:
        """Tell idle workers to look, at most every `ring_s`: they look again a little later for what was left out.

        Return whether it did ring.
        """
        now = self.store.clock.monotonic()
        if self._rang is not None and now - self._rang < self.store.ring_s:
            return False
        self._rang = now
        try:
            limits, begin = self.limits.queue, self._trail.begin()
            said = dump_news(news, op=new_id(self.rng), max_bytes=limits.bell_bytes, begin=begin)
            self.store.overwrite(keys.BELL, said)
        except Unavailable:
            self._rang = None  # only a hint: workers look every half minute anyway
            return False
        return True


def _living(found: Versioned[Job]) -> Versioned[Job]:
    if found.doc.deleted is not None:
        raise JobMissing(found.doc.id, deleted=found.doc.deleted, by=found.doc.deleted_by)
    return found


def _call(call: Callable[[], A]) -> A:
    return call()


# --- whose a document is -------------------------------------------------------------------------


def _part_type(job: Job, index: int) -> DocumentType[Part]:
    """Return how to read a part of this job: another one at its key is refused."""

    def load_own(data: bytes, key: str) -> Part:
        part = load_part(data, key=key)
        if (part.job, part.index, part.n_rows) != (job.id, index, job.part_size(index)):
            raise FormatError(
                f"part object {key!r} is that of another part: {part.n_rows} rows of part {part.index} of job {part.job!r}"
            )
        return part

    return replace(PART, load=load_own)


# --- opening -------------------------------------------------------------------------------------


def open_repository(
    store: Store,
    *,
    shards: int | None = None,
    rng: random.Random | None = None,
    signer: Callable[[], Keyring] | None = None,
    limits: Limits | None = None,
    create: bool = True,
) -> Repository:
    """Open the queue in `store`, creating it if it is new; refuse a store that cannot hold one (guarantee G8).

    With ``create=False`` one that is not there is `UnknownQueue`. `shards` only counts for a new queue; None takes what is there, or 1. `signer` gives the keys to sign jobs with.
    `limits` hold for whoever works through this repository; None for the usual ones.
    """
    if shards is not None:
        check_shards(shards)
    rng, limits = rng or system_random(), limits or Limits()
    try:
        settings = _read_settings(store)
    except Missing:
        if not create:
            raise UnknownQueue(store.url) from None
        settings = _create(store, Settings(shards=shards or 1), CasLoop(store, rng, limits=limits.queue))
    if shards is not None and shards != settings.present:
        said = "was created with" if settings.current == 0 else "has"
        raise UsageError(
            f"the queue at {store.url} {said} {settings.present} shards, not {shards}: leave shards= out, or oq reshard"
        )
    return Repository(store, settings, rng=rng, signer=signer, limits=limits)


def _create(store: Store, settings: Settings, loop: CasLoop) -> Settings:
    probe(store, rng=loop.rng)
    loop.put_once(keys.SETTINGS, dump({"format": FORMAT, "requires": [], "shards": settings.shards}))
    return _read_settings(store)  # somebody else may have been first


def _read_settings(store: Store) -> Settings:
    return SETTINGS.load(store.read(keys.SETTINGS).data, keys.SETTINGS)
