"""Fakes for the queue's tests: a clock that only moves when told, and stores that misbehave by a script."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

from oqkit.claim.claimer import Claimer
from oqkit.claim.lease import HeldLease
from oqkit.claim.poller import Topics
from oqkit.errors import Conflict, Missing, Unavailable
from oqkit.limits import Limits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.job import Job
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.repository import Repository, Settings
from oqkit.queue.submission import Submission, Submitted
from oqkit.queue.transition import Verb
from oqkit.store.base import Blob, Page, Store, Version
from oqkit.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.local import names_below

NO_WAIT = Policy(backoff=Backoff(initial_s=0.0, jitter=0.0))
PATIENT = Policy(backoff=Backoff(initial_s=30.0, jitter=0.0))


class WrappedStore(Store):
    """Passes every verb on to `inner`; subclasses interfere in `_do`."""

    poll_s = 0.7  # as on S3
    date_granularity_s = MemoryStore.date_granularity_s

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner.url, clock=inner.clock)
        self.inner = inner
        self.server = inner.server
        self.requests = inner.requests

    def _do(self, verb: str, key: str, call: Callable[[], object]):
        return call()

    def read(self, key: str) -> Blob:
        return self._do("read", key, lambda: self.inner.read(key))

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        return self._do("read_changed", key, lambda: self.inner.read_changed(key, etag=etag))

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        return self._do("read_range", key, lambda: self.inner.read_range(key, start=start, length=length))

    def create(self, key: str, data: bytes) -> str:
        return self._do("create", key, lambda: self.inner.create(key, data))

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        return self._do("replace", key, lambda: self.inner.replace(key, data, etag=etag))

    def overwrite(self, key: str, data: bytes) -> str:
        return self._do("overwrite", key, lambda: self.inner.overwrite(key, data))

    def delete(self, key: str) -> None:
        return self._do("delete", key, lambda: self.inner.delete(key))

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        return self._do("list", prefix, lambda: self.inner.list(prefix, after=after, limit=limit, folders=folders))

    def versions(self, key: str) -> Iterator[Version]:
        return self.inner.versions(key)


WRITES = ("create", "replace", "overwrite", "delete")


class FaultyStore(WrappedStore):
    """The n-th write (from 0) meets the fault of that number in `script`; a write beyond it is sound.

    ``""`` sound · ``refuse`` not applied, `Unavailable` · ``drop`` applied, `Unavailable` ·
    ``zombie`` `Unavailable`, and applied (if its condition still holds) after the next read or list ·
    ``late`` the same, but just before the next write instead · ``someday`` the same, when the test says `land` ·
    ``conflict`` applied, but answered with `Conflict`, as after a retry inside the SDK ·
    ``unsure`` not applied, and yet answered with `Conflict` · ``gone`` not applied, `Missing`.
    """

    def __init__(self, inner: MemoryStore, script: tuple[str, ...] = (), *, only: str = "") -> None:
        super().__init__(inner)
        self.script = list(script)
        self.only = only
        self.before_write: Callable[[str, str], None] | None = None
        self.before_read: Callable[[str, str], None] | None = None
        self._zombies: dict[str, list[Callable[[], object]]] = {"zombie": [], "late": [], "someday": []}

    def _do(self, verb: str, key: str, call: Callable[[], object]):
        if verb not in WRITES:
            if self.before_read is not None:
                self.before_read(verb, key)
            try:
                return call()
            finally:
                self.land("zombie")
        self.land("late")
        if self.before_write is not None:
            self.before_write(verb, key)
        fault = self.script.pop(0) if self.script and self.only in key else ""
        return self._write(fault, key, call)

    def _write(self, fault: str, key: str, call: Callable[[], object]):
        if fault in self._zombies:
            self._zombies[fault].append(call)
        elif fault in ("drop", "conflict", ""):
            answer = call()
            if not fault:
                return answer
        if fault in ("conflict", "unsure"):
            raise Conflict(key)
        if fault == "gone":
            raise Missing(key)
        raise Unavailable(f"{fault} {key}")

    def land(self, kind: str) -> None:
        """Let the writes land that are still on their way."""
        calls, self._zombies[kind] = self._zombies[kind], []
        for call in calls:
            try:
                call()
            except (Conflict, Missing):
                continue


class Crash(BaseException):
    """The process dies here: nothing may catch it."""


class CrashingStore(WrappedStore):
    """Dies at the request number `at` (from 0), before or (`is_after`) after it is applied."""

    def __init__(self, inner: MemoryStore, *, at: int, is_after: bool) -> None:
        super().__init__(inner)
        self.at = at
        self.is_after = is_after
        self.n = 0

    def _do(self, verb: str, key: str, call: Callable[[], object]):
        number, self.n = self.n, self.n + 1
        if number == self.at and not self.is_after:
            raise Crash
        answer = call()
        if number == self.at:
            raise Crash
        return answer


class World:
    """One bucket, one clock, and as many clients of it as a test wants."""

    def __init__(self, *, shards: int = 1, seed: int = 1, limits: Limits | None = None) -> None:
        self.clock = FakeClock()
        self.inner = MemoryStore(clock=self.clock, wall=self.clock.wall)
        self.settings = Settings(shards=shards)
        self.limits = limits
        self.rng = random.Random(seed)
        self.workers: list[TinyWorker] = []

    def repository(self, store: Store | None = None, *, limits: Limits | None = None) -> Repository:
        store, rng = store or WrappedStore(self.inner), random.Random(self.rng.random())
        return Repository(store, self.settings, rng=rng, limits=limits or self.limits)

    def now(self) -> float:
        return self.clock.wall()

    def listed(self, prefix: str = "") -> list[str]:
        return names_below(self.inner, prefix)

    def markers(self) -> list[str]:
        """Return the markers that are left once every worker that lives has deleted those that it is done with."""
        for worker in self.workers:
            if not isinstance(worker.repository.store, CrashingStore):
                worker.claimer.sweep(at_once=True)
        return self.listed("open/")

    def job(self, number: int = 0, *, n_tasks: int = 1, part_rows: int = 10, **more) -> Job:
        more.setdefault("id", f"0{number:017d}")
        more.setdefault("origin", f"origin-{self.rng.random()}")
        more.setdefault("created", self.now())
        more.setdefault("policy", Policy())
        more.setdefault("type", "score")
        return Job(n_tasks=n_tasks, part_rows=part_rows, mode="frame", **more)

    def submit(self, job: Job, repository: Repository | None = None) -> Submitted:
        return Submission(repository or self.repository(), job).commit(job)

    def worker(self, name: str = "w", repository: Repository | None = None, **more) -> TinyWorker:
        self.workers.append(TinyWorker(self, name, repository or self.repository(), **more))
        return self.workers[-1]

    def parts(self, job: Job) -> list:
        repository = self.repository()
        job = repository.read_job(job.id).doc
        return [repository.read_part(job, n).doc for n in range(job.n_parts)]

    def statuses(self, job: Job) -> Counter[str]:
        out: Counter[str] = Counter()
        for part in self.parts(job):
            out.update({str(status): n for status, n in part.counts().items() if n})
        return out


def cost(world: World, call: Callable[[], object]) -> Counter[str]:
    """Count by kind the requests that reach the bucket of `world` while `call` runs."""
    before = world.inner.requests.snapshot()
    call()
    return world.inner.requests.snapshot() - before


class TinyWorker:
    """Finds, completes, commits: a worker without the work. `ran` counts each row's executions."""

    def __init__(
        self,
        world: World,
        name: str,
        repository: Repository,
        *,
        types: tuple[str, ...] = ("score",),
        everything: bool = False,
        max_rows: int = 1000,
        lease_rows: Callable[[Job], tuple[int, int | None]] | None = None,
        lease_s: float = 60.0,
        can_run: Callable[[Job], bool] = lambda job: True,
        aging_s: float | None = None,
    ) -> None:
        self.world = world
        self.repository = repository
        self.claimer = Claimer(
            repository,
            Topics(types=frozenset(types), everything=everything),
            worker=name,
            lease_s=lease_s,
            can_run=can_run,
            aging_s=aging_s,
            lease_rows=lease_rows or (lambda job: (max_rows, max_rows)),
        )
        self.ran: Counter[tuple[str, int]] = Counter()

    def find(self) -> HeldLease | None:
        return self.claimer.find()

    def finish(self, lease: HeldLease, verb: Verb = Verb.COMPLETE, **more) -> None:
        first = lease.index * lease.job.part_rows
        self.ran.update((lease.job.id, first + row) for row in lease.rows)
        outcome = Outcome(verb=verb, rows=lease.rows, **more)
        lease.commit(Commit(outcomes=[outcome], output={"by": lease.id}, is_last=True))
        self.claimer.ended(lease)

    def step(self, verb: Verb = Verb.COMPLETE) -> bool:
        """Run one lease if there is one."""
        lease = self.find()
        if lease is None:
            return False
        self.finish(lease, verb)
        return True

    def drain(self, *, until_s: float = 3600.0, idle_s: float = 300.0, verb: Verb = Verb.COMPLETE) -> int:
        """Work until nothing was found for `idle_s`; return how many leases were run."""
        n, clock = 0, self.world.clock
        end, last = clock.time_s + until_s, clock.time_s
        while clock.time_s < end and clock.time_s - last < idle_s:
            if self.step(verb):
                n, last = n + 1, clock.time_s
            else:
                clock.sleep(max(0.01, self.claimer.wait_s()))
        return n
