"""From a seed to a plan: what is drawn by chance, and how often."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from oqkit.limits import ClaimLimits, Limits, PayloadLimits, QueueLimits, TaskLimits
from oqkit.testing.simulation.ask import with_asks
from oqkit.testing.simulation.bucket import FAULTS
from oqkit.testing.simulation.deleter import with_deletes
from oqkit.testing.simulation.limited import with_limits
from oqkit.testing.simulation.plan import (
    CRASH,
    KILL,
    PERISH,
    PERMANENT,
    RAISE,
    RESCHEDULE,
    SKIP,
    SLOW,
    TRICKS,
    TYPES,
    CallPlan,
    JobPlan,
    Kill,
    OrderPlan,
    Pause,
    Plan,
    ReadPlan,
    ScheduleOrderPlan,
    SchedulePlan,
    SignPlan,
    Trick,
    WorkerPlan,
)
from oqkit.testing.simulation.schema_actor import with_schemas
from oqkit.testing.simulation.sharded import with_reshards, with_shards

T = TypeVar("T")


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
    for step in (_with_pipeline, _with_steering, _with_signal, _with_keys, _with_calls, with_asks, _with_schedules):
        plan = step(plan, random.Random(f"{seed}/{step.__name__.removeprefix('_').removeprefix('with_')}"))  # noqa: S311 - the same
    return with_schemas(with_reshards(with_shards(with_deletes(with_limits(plan)))))


def _with_calls(plan: Plan, rng: random.Random) -> Plan:
    """Add submissions of items, some of them at nearly the same time."""

    def call(n: int) -> CallPlan:
        items = tuple(rng.sample(range(10), rng.choice((1, 3, 5))))
        kills = _some(rng, (0, 0, 1, 2), lambda k: _kill(rng, f"call{n}.kill{k}", writes=5))
        at_s = min(plan.chaos_s, rng.choice((near_s + rng.random(), rng.uniform(0.0, plan.chaos_s))))
        return CallPlan(name=f"call{n}", at_s=at_s, items=items, kills=kills)

    near_s = rng.uniform(0.0, plan.chaos_s)
    return replace(plan, calls=_some(rng, (0, 0, 2, 3, 5), call))


def _with_signal(plan: Plan, rng: random.Random) -> Plan:
    """Let the tasks of a job wait for a signal, which somebody sends once or twice."""
    chosen = rng.choice(plan.jobs)
    if chosen.type == TYPES[-1] or rng.random() < 0.7:
        return plan

    def signal(n: int) -> OrderPlan:
        name, at_s = f"signal{n}", chosen.at_s + rng.uniform(0.5, rng.choice((3.0, 3.0, 15.0)))
        kills = _some(rng, (0, 0, 1), lambda k: _kill(rng, f"{name}.kill{k}", writes=5))
        return OrderPlan(name=name, at_s=at_s, job=chosen.number, verb="signal", kills=kills)

    again = {**chosen.options, "retries": 3, "backoff": 6.0}  # a signal comes while a row backs off
    waiting = replace(chosen, waits=True, options=again, fates={**chosen.fates, 0: (RAISE, RAISE)})
    waiting = waiting if rng.random() < 0.5 else replace(chosen, waits=True)
    jobs = tuple(waiting if job is chosen else job for job in plan.jobs)
    return replace(plan, jobs=jobs, orders=(*plan.orders, *(signal(n) for n in range(rng.choice((0, 1, 2, 3))))))


def _with_schedules(plan: Plan, rng: random.Random) -> Plan:
    """Let some plans have things that come again and again, and orders about them."""

    def schedule(k: int) -> SchedulePlan:
        return SchedulePlan(
            name=f"schedule{k}",
            at_s=rng.uniform(0.0, plan.chaos_s * 0.4),
            every_s=rng.choice((1.5, 3.0, 5.0, 11.0)),
            catch_up=rng.choice(("skip", "last", "all", "all")),
            jitter_s=rng.choice((0.0, 0.0, 1.0, 60.0)),
            kills=_some(rng, (0, 0, 1), lambda n: _kill(rng, f"schedule{k}.kill{n}", writes=4)),
        )

    def order(k: int) -> ScheduleOrderPlan:
        verb = rng.choice(("pause", "pause", "resume", "trigger", "delete", "make anew", "make anew"))
        return ScheduleOrderPlan(
            name=f"schedule order{k}",
            at_s=rng.uniform(plan.chaos_s * 0.2, plan.chaos_s),
            schedule=rng.choice(schedules),
            verb=verb,
            for_s=rng.choice((None, 2.0, 10.0)) if verb == "pause" else None,
            kills=_some(rng, (0, 0, 1), lambda n: _kill(rng, f"schedule order{k}.kill{n}", writes=4)),
        )

    if rng.random() < 0.6:
        return plan
    schedules = _some(rng, (1, 1, 2), schedule)
    return replace(plan, schedules=schedules, schedule_orders=_some(rng, (0, 1, 2, 3), order))


def _with_keys(plan: Plan, rng: random.Random) -> Plan:
    """Add tasks that are submitted several times, under one key in different scopes."""
    scopes = rng.sample(("type", "queue", "own", "task alpha"), rng.choice((0, 1, 1, 2)))
    first = len(plan.jobs)
    jobs = tuple(_keyed(rng, number, plan.chaos_s, scope=scope) for number, scope in enumerate(scopes, first))
    return replace(plan, jobs=(*plan.jobs, *jobs))


def _keyed(rng: random.Random, number: int, chaos_s: float, *, scope: str) -> JobPlan:
    job = _job(rng, number, chaos_s)
    return replace(
        job,
        kind="single",
        n_tasks=1,
        type=rng.choice(TYPES[:2]),
        fates={row: fate for row, fate in job.fates.items() if row == 0},
        key="key",
        scope=scope,
        key_ttl=rng.choice((None, 0.5, 3.0, 3.0, 15.0)),
        again_s=_some(rng, (1, 2, 4), lambda _: rng.uniform(0.0, chaos_s)),
        kills=_some(rng, (0, 1, 2, 3), lambda k: _kill(rng, f"{job.name}.kill{k}", writes=5)),
    )


def _with_steering(plan: Plan, rng: random.Random) -> Plan:
    """Let people pause and resume the queue and a type, and change priorities and tags, in some of the schedules."""
    if rng.random() < 0.6:
        return plan
    orders = [_wish(rng, n, len(plan.jobs), plan.chaos_s) for n in range(rng.choice((0, 1, 2)))]
    signs = _signs(rng, plan.chaos_s) if rng.random() < 0.8 else ()
    strange = Trick(name="strange sign", at_s=rng.uniform(0.0, plan.chaos_s), what="strange sign", job=0)
    tricks = (*plan.tricks, strange) if signs and rng.random() < 0.2 else plan.tricks
    return replace(plan, orders=(*plan.orders, *orders), signs=signs, tricks=tricks)


def _wish(rng: random.Random, number: int, n_jobs: int, chaos_s: float) -> OrderPlan:
    verb, name = rng.choice(("reprioritize", "reprioritize", "tag")), f"wish{number}"
    return OrderPlan(
        name=name,
        at_s=rng.uniform(0.5, chaos_s * 0.7),
        job=rng.randrange(n_jobs),
        verb=verb,
        where=rng.choice((0, 50, 200, 255)) if verb == "reprioritize" else rng.choice(("a", "b", None)),
        kills=_some(rng, (0, 0, 1), lambda k: _kill(rng, f"{name}.kill{k}", writes=4)),
    )


def _signs(rng: random.Random, chaos_s: float) -> tuple[SignPlan, ...]:
    """Return pauses, some of them shortly after one that is over by itself, and what ends some of them."""
    signs: list[SignPlan] = []
    at_s = rng.uniform(0.5, 0.4 * chaos_s)
    for n in range(rng.choice((1, 2, 2, 3, 4))):
        name, for_s = f"sign{n}", rng.choice((None, 2.0, 5.0))
        is_pause = n == 0 or rng.random() < 0.7
        kills = _some(rng, (0, 0, 0, 1), lambda k, name=name: _kill(rng, f"{name}.kill{k}", writes=3))  # type: ignore[misc]
        kind = rng.choice((None, None, TYPES[0]))
        signs.append(SignPlan(name=name, at_s=at_s, type=kind, is_pause=is_pause, for_s=for_s, kills=kills))
        at_s += rng.choice((0.0, (for_s or 3.0) - rng.uniform(0.0, 0.5), rng.uniform(0.0, 8.0)))
    return tuple(signs)


def _with_pipeline(plan: Plan, rng: random.Random) -> Plan:
    """Let some jobs depend on earlier ones, and more jobs on those."""
    if rng.random() < 0.5:
        return plan
    n_jobs = len(plan.jobs) + rng.choice((1, 2, 3))
    jobs = [*plan.jobs, *(_job(rng, n, plan.chaos_s) for n in range(len(plan.jobs), n_jobs))]
    if rng.random() < 0.7:
        jobs = [_small(job) for job in jobs]
    for n in range(1, n_jobs):
        if rng.random() < 0.9:
            jobs[n] = _child(rng, jobs, n)
    is_lost = any(trick.what in {"lost marker", "no marker"} for trick in plan.tricks)
    looks_again, block = is_lost or rng.random() < 0.2, rng.choice((16, 1))
    workers = tuple(_more_mortal(rng, worker) for worker in plan.workers) if rng.random() < 0.5 else plan.workers
    return replace(plan, jobs=tuple(jobs), workers=workers, looks_again=looks_again, block=block)


def _more_mortal(rng: random.Random, worker: WorkerPlan) -> WorkerPlan:
    """Return a worker that dies often, soon after its start: between any two writes of those who tell others of an end."""
    kills = tuple(_kill(rng, f"{worker.name}.more{k}", writes=20) for k in range(6))
    return replace(worker, kills=(*worker.kills, *kills), pauses=())


def _small(job: JobPlan) -> JobPlan:
    """Return a job that ends soon, so that much of what happens is about ends."""
    n_tasks = min(job.n_tasks, 2)
    fates = {row: fate[:1] for row, fate in job.fates.items() if row < n_tasks}
    return replace(job, n_tasks=n_tasks, row_s=min(job.row_s, 0.05), fates=fates)


def _child(rng: random.Random, jobs: list[JobPlan], number: int) -> JobPlan:
    """Let a job depend on earlier ones, and be submitted a little after them."""
    n_parents = rng.choice((1, 1, 2, 3)) if number > 2 else 1
    parents = tuple(sorted(rng.sample(range(number), n_parents)))
    latest_s = max(jobs[parent].at_s for parent in parents)
    return replace(
        jobs[number],
        depends_on=parents,
        options={**jobs[number].options, "on_failure": rng.choice(("fail", "skip", "run"))},
        kills=_some(rng, (0, 0, 1), lambda k: _kill(rng, f"{jobs[number].name}.kill{k}", writes=12)),
        at_s=latest_s + rng.uniform(0.1, rng.choice((1.0, 6.0))),
    )


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
        schedule_late_s=8.0,
        schedule_slots=10,
        schedule_fresh_s=5.0,
        schedule_sweep_s=20.0,
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
