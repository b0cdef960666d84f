"""What happens in one schedule: all of it follows from the seed, and each piece has a name and can be left out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from oqkit.limits import ClaimLimits, Limits, PayloadLimits, QueueLimits, TaskLimits
from oqkit.testing.simulation.bucket import FAULTS, Weather

T = TypeVar("T")

OK, RAISE, PERMANENT, RESCHEDULE, SKIP, SLOW = "ok", "raise", "permanent", "reschedule", "skip", "slow"
CRASH, KILL, PERISH = "crash", "kill", "perish"
"""A crash ends a child process, and is an exception where there is none. The others end the process, whichever it is:
a kill as if from outside, as when memory runs out, and by perishing it is known that it did so by itself."""
TYPES = ("alpha", "beta", "batch")
"""The last one takes frames."""

TRICKS = (
    "stale marker",
    "old marker",
    "later marker",
    "no marker",
    "lost marker",
    "lost marker",
    "no bell",
    "strange marker",
    "crowd",
    "unreadable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """How a life ends: at its n-th write, before or after that is applied; or at some time; or asked to stop."""

    name: str
    write: int | None = None
    is_after: bool = False
    after_s: float = 0.0
    is_stop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A process that stands still for a while."""

    name: str
    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """A machine with a worker that is started again whenever it died."""

    name: str
    types: tuple[str, ...]
    concurrency: int
    is_process: bool
    isolates_after: int
    grace_s: float
    skew_s: float
    drift: float
    kills: tuple[Kill, ...]
    pauses: tuple[Pause, ...]
    deaf_at_s: float | None = None
    """From when on the store never answers it; None: it always does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A submission; one with a key is repeated until it is known to be stored."""

    name: str
    number: int
    at_s: float
    kind: str
    """``single``, ``map`` or ``frame``."""
    key: str
    type: str
    n_tasks: int
    part_rows: int
    row_s: float
    options: dict[str, Any]
    fates: dict[int, tuple[str, ...]]
    """Row to what its executions do, one after the other; ``ok`` from then on."""
    n_submitters: int
    kills: tuple[Kill, ...]
    depends_on: tuple[int, ...] = ()
    """The numbers of jobs that it waits for, as far as those are known to be stored when it is first submitted."""
    is_half: bool = False
    """Whether its first submitter dies when the doorbell has rung, and the marker is not there yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlan:
    """A cancel, retry, pause or resume that a person gives; half of those who die over it come back."""

    name: str
    at_s: float
    job: int
    verb: str
    kills: tuple[Kill, ...]
    where: Any = "all"
    """What a cancel or retry is about."""
    for_s: float | None = None
    """How long a pause lasts; None: until somebody ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """Somebody who looks at a job: its counts, what is finished, or all of it as it comes."""

    name: str
    at_s: float
    job: int
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """Something done to the bucket behind everybody's back."""

    name: str
    at_s: float
    what: str
    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One schedule."""

    seed: int
    chaos_s: float
    lease_s: float
    poll_s: float
    limits: Limits
    """Those of the code; some are low in some schedules, so that what lies behind them is reached."""
    has_md5_etags: bool
    workers: tuple[WorkerPlan, ...]
    jobs: tuple[JobPlan, ...]
    orders: tuple[OrderPlan, ...]
    reads: tuple[ReadPlan, ...]
    tricks: tuple[Trick, ...]
    faults: dict[str, float]
    outages: tuple[tuple[str, float, float, str], ...]
    latency_s: float
    slow: float
    looks_again: bool = True
    """Whether workers look now and then whether the parents of a job have ended, in case that nobody told it."""
    dropped: frozenset[str] = field(default_factory=frozenset)

    def weather(self) -> Weather:
        """Return the network of this schedule."""
        return Weather(
            chances={fault: self.faults.get(fault, 0.0) for fault in FAULTS},
            read_error=self.faults.get("read", 0.0),
            latency_s=self.latency_s,
            slow=self.slow,
            outages=[(start, stop, who) for _, start, stop, who in self.outages],
        )

    def names(self) -> Iterator[str]:
        """Yield the name of everything that can be left out, from the large to the small."""
        for group in (self.workers, self.jobs, self.orders, self.reads, self.tricks):
            yield from (one.name for one in group)
        yield from (f"fault.{fault}" for fault, chance in self.faults.items() if chance)
        yield from (name for name, *_ in self.outages)
        killed: tuple[WorkerPlan | JobPlan | OrderPlan, ...] = (*self.workers, *self.jobs, *self.orders)
        yield from (kill.name for owner in killed for kill in owner.kills)
        yield from (pause.name for worker in self.workers for pause in worker.pauses)
        yield from (f"{job.name}.fate{row}" for job in self.jobs for row in job.fates)
        yield from ("slow", "skew")

    def without(self, names: frozenset[str]) -> Plan:
        """Return the plan with some pieces left out."""

        def kept(group: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(_trimmed(one, names) for one in group if one.name not in names)  # type: ignore[attr-defined]

        workers = kept(self.workers)
        if "skew" in names:
            workers = tuple(replace(worker, skew_s=0.0, drift=0.0) for worker in workers)
        return replace(
            self,
            workers=workers,
            jobs=kept(self.jobs),
            orders=kept(self.orders),
            reads=kept(self.reads),
            tricks=kept(self.tricks),
            faults={fault: 0.0 if f"fault.{fault}" in names else chance for fault, chance in self.faults.items()},
            outages=tuple(outage for outage in self.outages if outage[0] not in names),
            slow=0.0 if "slow" in names else self.slow,
            dropped=self.dropped | names,
        )


def _trimmed(one: Any, names: frozenset[str]) -> Any:
    has = {it.name for it in fields(one)}
    if "kills" in has:
        one = replace(one, kills=tuple(kill for kill in one.kills if kill.name not in names))
    if "pauses" in has:
        one = replace(one, pauses=tuple(pause for pause in one.pauses if pause.name not in names))
    if "fates" in has:
        one = replace(one, fates={row: fate for row, fate in one.fates.items() if f"{one.name}.fate{row}" not in names})
    return one


# --- making one ----------------------------------------------------------------------------------


def make_plan(seed: int) -> Plan:
    """Return the schedule of a seed."""
    rng = random.Random(f"{seed}/plan")  # noqa: S311 - a seed must replay
    chaos_s = rng.uniform(20.0, 50.0)
    lease_s = rng.choice((5.0, 8.0, 12.0))
    harsh = rng.choice((0.0, 0.5, 1.0, 1.5, 2.5))
    jobs = tuple(_job(rng, n, chaos_s) for n in range(rng.choice((1, 2, 2, 3, 3, 4))))
    plan = Plan(
        seed=seed,
        chaos_s=chaos_s,
        lease_s=lease_s,
        poll_s=rng.choice((0.7, 1.5, 2.5)),
        limits=_limits(rng),
        has_md5_etags=rng.random() < 0.75,
        workers=_workers(rng, chaos_s, lease_s),
        jobs=jobs,
        orders=tuple(_order(rng, n, len(jobs), chaos_s) for n in range(rng.choice((0, 1, 2, 3, 4, 5)))),
        reads=tuple(_read(rng, n, len(jobs), chaos_s) for n in range(rng.choice((0, 0, 1, 2)))),
        tricks=tuple(_trick(rng, n, len(jobs), chaos_s) for n in range(rng.choice((0, 0, 1, 2, 3)))),
        faults={fault: harsh * rng.random() * 0.08 for fault in (*FAULTS, "read")},
        outages=_outages(rng, chaos_s, harsh),
        latency_s=rng.choice((0.005, 0.03, 0.03, 0.2)),
        slow=rng.choice((0.0, 0.01, 0.03)),
    )
    return _with_pipeline(plan, random.Random(f"{seed}/pipeline"))  # noqa: S311 - the same


def _with_pipeline(plan: Plan, rng: random.Random) -> Plan:
    """Let some jobs depend on earlier ones, and more jobs on those."""
    if rng.random() < 0.5:
        return plan
    jobs = list(plan.jobs)
    for n in range(len(jobs), len(jobs) + rng.choice((0, 1, 2))):
        jobs.append(_job(rng, n, plan.chaos_s))
    for n in range(1, len(jobs)):
        if rng.random() < 0.8:
            parents = tuple(sorted(rng.sample(range(n), rng.choice((1, 1, 2, 3)) if n > 2 else 1)))
            latest_s = max(jobs[parent].at_s for parent in parents)
            options = {**jobs[n].options, "on_failure": rng.choice(("fail", "skip", "run"))}
            kills = _some(rng, (0, 0, 1), lambda k, n=n: _kill(rng, f"job{n}.kill{k}", writes=12))
            at_s = latest_s + rng.uniform(0.5, 6.0)
            jobs[n] = replace(jobs[n], depends_on=parents, options=options, kills=kills, at_s=at_s)
    is_lost = any(trick.what in ("lost marker", "no marker") for trick in plan.tricks)
    return replace(plan, jobs=tuple(jobs), looks_again=is_lost or rng.random() < 0.2)


def _limits(rng: random.Random) -> Limits:
    inline_bytes = rng.choice((8192, 8192, 0))
    payload = PayloadLimits(inline_bytes=inline_bytes, inline_value_bytes=inline_bytes)
    task = TaskLimits(target_s=rng.choice((10.0, 10.0, 1.0)))
    max_leases = rng.choice((8, 8, 2))
    claim = ClaimLimits(
        window_parts=rng.choice((1000, 1000, 2)),
        read_parts=rng.choice((16, 16, 1)),
        later_s=rng.choice((5.0, 5.0, 1.0)),
        page_markers=rng.choice((1000, 1000, 10)),
    )
    queue = QueueLimits(
        max_leases=max_leases,
        patience_s=rng.choice((60.0, 60.0, 5.0)),
        # Lost jobs are looked for as often as fits into a schedule.
        sweep_every_s=30.0,
        sweep_fresh_s=10.0,
        sweep_first_s=5.0,
    )
    return Limits(queue=queue, claim=claim, task=task, payload=payload)


def _workers(rng: random.Random, chaos_s: float, lease_s: float) -> tuple[WorkerPlan, ...]:
    return tuple(_worker(rng, f"worker{n}", chaos_s, lease_s=lease_s) for n in range(rng.choice((1, 2, 2, 3))))


def _worker(rng: random.Random, name: str, chaos_s: float, *, lease_s: float) -> WorkerPlan:
    def kill(k: int) -> Kill:
        return _kill(rng, f"{name}.kill{k}", writes=25)

    def pause(k: int) -> Pause:
        at_s, for_s = rng.uniform(1.0, chaos_s), lease_s * rng.choice((0.3, 1.2, 2.0))
        return Pause(name=f"{name}.pause{k}", at_s=at_s, for_s=for_s)

    return WorkerPlan(
        name=name,
        types=TYPES if rng.random() < 0.7 else (rng.choice(TYPES[:2]),),
        concurrency=rng.choice((1, 1, 1, 2)),
        is_process=rng.random() < 0.3,
        isolates_after=rng.choice((1, 1, 2)),
        grace_s=rng.choice((0.5, 5.0)),
        skew_s=rng.uniform(-300.0, 300.0),
        drift=rng.uniform(-1e-4, 1e-4),
        kills=_some(rng, (0, 1, 2, 2, 3), kill),
        pauses=_some(rng, (0, 1, 1, 2), pause),
        deaf_at_s=rng.uniform(1.0, chaos_s) if rng.random() < 0.1 else None,
    )


def _some(rng: random.Random, numbers: tuple[int, ...], make: Callable[[int], T]) -> tuple[T, ...]:
    return tuple(make(k) for k in range(rng.choice(numbers)))


def _kill(rng: random.Random, name: str, *, writes: int) -> Kill:
    how = rng.random()
    if how < 0.7:
        return Kill(name=name, write=rng.randrange(rng.randrange(1, writes)), is_after=rng.random() < 0.5)
    return Kill(name=name, after_s=rng.uniform(0.0, 25.0), is_stop=how > 0.9)


def _job(rng: random.Random, number: int, chaos_s: float) -> JobPlan:
    name = f"job{number}"
    kind = rng.choice(("single", "map", "map", "map", "frame"))
    n_tasks = 1 if kind == "single" else rng.choice((rng.randrange(1, 13), rng.randrange(1, 13), 24))
    key = f"{name}-key" if rng.random() < 0.6 else ""
    options: dict[str, Any] = {"retries": rng.choice((0, 1, 3, 5)), "backoff": rng.choice((0.0, 0.5, 6.0))}
    options["max_losses"] = rng.choice((1, 2, 3))
    if rng.random() < 0.15:
        options["ttl"] = rng.uniform(2.0, 20.0)
    if rng.random() < 0.15:
        options["delay"] = rng.uniform(1.0, 15.0)
    if rng.random() < 0.3:
        options["timeout"] = rng.choice((2.0, 4.0))
    if rng.random() < 0.3:
        options["max_reschedules"] = rng.choice((0, 1, 2))
    if rng.random() < 0.3:
        options["priority"] = rng.choice((1, 200))
    bad = rng.choice((0.0, 0.1, 0.4))
    return JobPlan(
        name=name,
        number=number,
        at_s=rng.uniform(0.0, chaos_s * 0.5) * rng.random(),
        kind=kind,
        key=key,
        type="batch" if kind == "frame" and rng.random() < 0.3 else rng.choice(TYPES[:2]),
        n_tasks=n_tasks,
        part_rows=rng.choice((1, 2, 3, 5, 100)),
        row_s=rng.choice((0.01, 0.05, 0.4, 1.3)),
        options=options,
        fates={row: _fate(rng) for row in range(n_tasks) if rng.random() < bad},
        n_submitters=2 if key and rng.random() < 0.3 else 1,
        is_half=rng.random() < 0.15,
        kills=_some(rng, (0, 0, 1, 2) if key else (0, 0, 0, 1), lambda k: _kill(rng, f"{name}.kill{k}", writes=5)),
    )


def _fate(rng: random.Random) -> tuple[str, ...]:
    kinds = (RAISE, RAISE, PERMANENT, RESCHEDULE, SKIP, SLOW, CRASH)
    if rng.random() < 0.1:
        return (rng.choice((KILL, PERISH)),) * rng.choice(
            (1, 2, 2, 20)
        )  # now and then one that kills whatever runs it, to the end
    return tuple(rng.choice(kinds) for _ in range(rng.choice((1, 1, 2, 3))))


def _order(rng: random.Random, number: int, n_jobs: int, chaos_s: float) -> OrderPlan:
    verb = rng.choice(("cancel", "cancel", "retry", "retry", "pause", "pause", "resume"))
    if verb == "retry":
        where = rng.choice(("failed", "cancelled", "all", "rows"))
    else:
        where = rng.choice(("all", "pending", "running", "rows"))
    rows = sorted({rng.randrange(12) for _ in range(rng.choice((1, 2, 4)))})
    name = f"order{number}"
    return OrderPlan(
        name=name,
        at_s=rng.uniform(1.0, chaos_s),
        job=rng.randrange(n_jobs),
        verb=verb,
        where=rows if where == "rows" else where,
        for_s=rng.choice((None, 2.0, 10.0)) if verb == "pause" else None,
        kills=_some(rng, (0, 0, 1), lambda k: _kill(rng, f"{name}.kill{k}", writes=6)),
    )


def _read(rng: random.Random, number: int, n_jobs: int, chaos_s: float) -> ReadPlan:
    return ReadPlan(
        name=f"read{number}",
        at_s=rng.uniform(1.0, chaos_s),
        job=rng.randrange(n_jobs),
        how=rng.choice(("counts", "status", "partial", "as_completed", "wait")),
    )


def _trick(rng: random.Random, number: int, n_jobs: int, chaos_s: float) -> Trick:
    return Trick(
        name=f"trick{number}",
        at_s=rng.uniform(1.0, chaos_s),
        what=rng.choice(TRICKS),
        job=rng.randrange(n_jobs),
    )


def _outages(rng: random.Random, chaos_s: float, harsh: float) -> tuple[tuple[str, float, float, str], ...]:
    n = rng.choice((0, 0, 1, 2)) if harsh else 0
    starts = [rng.uniform(0.0, chaos_s) for _ in range(n)]
    who = [rng.choice(("", "worker0", "worker1", "job", "order")) for _ in range(n)]
    return tuple(
        (f"outage{k}", start, min(chaos_s, start + rng.choice((2.0, 8.0, 20.0))), one)
        for k, (start, one) in enumerate(zip(starts, who, strict=True))
    )
