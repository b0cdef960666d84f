"""Run one schedule: trouble first, then fair weather, in which everything must come to its end."""

from __future__ import annotations

import hashlib
import traceback
from collections import Counter
from dataclasses import replace

from oqkit.client.handle import Job
from oqkit.queue import key as keys
from oqkit.queue.dependency import LONGEST_RECHECK_S
from oqkit.queue.job import ControlVerb
from oqkit.queue.job import Job as JobObject
from oqkit.queue.transition import Status
from oqkit.testing.simulation.actor import Actor, Operator, Reader, SignOperator, Submitter, Worker, check_frame
from oqkit.testing.simulation.bucket import LATEST_S, READ_TIMEOUT_S
from oqkit.testing.simulation.caller import Caller
from oqkit.testing.simulation.cleaning import clean
from oqkit.testing.simulation.deleter import Deleter
from oqkit.testing.simulation.draw import make_plan
from oqkit.testing.simulation.fact import Violation, rows_of
from oqkit.testing.simulation.kernel import Stuck
from oqkit.testing.simulation.keyed import KeyedSubmitter
from oqkit.testing.simulation.plan import TYPES, JobPlan, OrderPlan, Plan, SignPlan, WorkerPlan
from oqkit.testing.simulation.recurring_actor import begin_schedules, pause_one, stop_schedules
from oqkit.testing.simulation.resharder import Resharder
from oqkit.testing.simulation.schema_actor import SchemaPerson
from oqkit.testing.simulation.trick import play
from oqkit.testing.simulation.world import (
    Score,
    SimRepository,
    World,
    following,
    quiet,
    telling_attempts,
    without_looking_at_sources,
)

DRAIN_S = 150.0
TIDY_S = 150.0
#: How long after the weather has cleared up a write may still land.
LANDED_S = READ_TIMEOUT_S + LATEST_S + 1.0
IDLE_S = 35.0
N_STEPS = 2
LATECOMER = 900
DELAY_S = 3.0
LATE_MARKER_S = 1.0
IN_TIME_S = 2.0


def run_seed(seed: int, *, without: frozenset[str] = frozenset()) -> Score:
    """Run the schedule of a seed, without the pieces of these names."""
    return run_plan(make_plan(seed).without(without))


def run_plan(plan: Plan, *, trace: list[str] | None = None) -> Score:
    """Run a schedule; the score says whether something happened that must not, `trace` takes every request."""
    world = World(plan)
    world.bucket.trace = trace
    try:
        with quiet(), without_looking_at_sources(), telling_attempts(), following(plan):
            _run(world)
    except Violation as violation:
        world.oracle.fail(violation.rule, violation.message)
    except Stuck as stuck:
        world.oracle.fail("stuck", str(stuck))
    except Exception as error:  # noqa: BLE001 - from the oracle's own reading: the document cannot be
        world.oracle.fail(f"broken: {type(error).__name__}", "".join(traceback.format_exception(error)))
    finally:
        with quiet():
            _end(world)
    return _score(world)


def _run(world: World) -> None:
    plan, kernel = world.plan, world.kernel
    workers = [Worker(world, worker) for worker in plan.workers]
    for worker in workers:
        kernel.after(kernel.rng.random() * 3.0, worker.live)
    for job in plan.jobs:
        kind = KeyedSubmitter if job.again_s else Submitter
        for n in range(job.n_submitters):
            kernel.at(job.at_s + n * kernel.rng.random() * 0.2, kind(world, job, n).live)
        for n, at_s in enumerate(job.again_s, job.n_submitters):
            kernel.at(at_s, kind(world, job, n).live)
    people: list[tuple[float, Actor]] = [(order.at_s, Operator(world, order)) for order in plan.orders]
    people += [(read.at_s, Reader(world, read)) for read in plan.reads]
    people += [(sign.at_s, SignOperator(world, sign)) for sign in plan.signs]
    people += [(reshard.at_s, Resharder(world, reshard)) for reshard in plan.reshards]
    people += [(call.at_s, Caller(world, call)) for call in plan.calls]
    people += [(delete.at_s, Deleter(world, delete)) for delete in plan.deletes]
    people += [(schema.at_s, SchemaPerson(world, schema)) for schema in plan.schemas]
    for at_s, person in people:
        kernel.at(at_s, person.live)
    for trick in plan.tricks:
        kernel.at(trick.at_s, play, world, trick)
    begin_schedules(world)
    kernel.run(plan.chaos_s)
    _drain(world, workers)


def _drain(world: World, workers: list[Worker]) -> None:
    """In fair weather, with two sound workers, every acknowledged task ends, and nothing is left lying about."""
    kernel, oracle = world.kernel, world.oracle
    world.weather.clear_up()
    start = kernel.now
    for node in world.nodes:
        node.paused_until = 0.0
    for worker in workers:
        worker.kills = []
        worker.retire()
    final = [Worker(world, _final(n)) for n in range(2)]
    for worker in final:
        worker.live()
    for job_id in sorted(world.broken_orders):
        if kernel.rng.random() < 0.5:  # else it is as the order was left
            _repeat_order(world, job_id)
    kernel.after(LANDED_S, _resume_all, world)
    oracle.schedules.fair_s = oracle.bucket.now() + 2 * LANDED_S
    kernel.after(LANDED_S, pause_one, world)
    kernel.after(3 * LANDED_S, stop_schedules, world)
    kernel.run(start + _drain_s(world.plan), lambda: kernel.steps % 16 == 0 and _is_drained(world))
    world.score.drain_s = kernel.now - start
    if not _is_drained(world):
        oracle.fail("not drained", _open(world))
    final[1].retire()
    _tidy(world)
    _idle(world, final[0])
    _notice(world, final[0])
    _notice_pause(world, final[0])
    _collect(world)
    clean(world)
    _collect(world)
    final[0].retire()
    kernel.run(kernel.now + 60.0)
    for node in world.nodes:
        alive = [task for task in node.tasks if not task.has_ended and task.name != "run"]
        oracle.expect(node.is_dead or not alive, "does not stop", f"{alive}")


def _tidy(world: World) -> None:
    """Markers of what has ended go; one that a late submitter put up for a job that waited, once it is due."""
    kernel = world.kernel
    for _ in range(2):
        kernel.run(_last_due(world) + TIDY_S, lambda: kernel.steps % 16 == 0 and not _left(world))
    world.oracle.expect(not _left(world), "left over", f"{_left(world)}")


def _final(n: int) -> WorkerPlan:
    return WorkerPlan(
        name=f"final{n}",
        types=TYPES,
        concurrency=1,
        is_process=False,
        isolates_after=1,
        grace_s=5.0,
        skew_s=0.0,
        drift=0.0,
        kills=(),
        pauses=(),
    )


def _repeat_order(world: World, job_id: str) -> None:
    """An order whose giver died may be carried out in part; whoever gives it again completes it."""
    number = world.acked[job_id].plan.number
    for verb, where in (("retry", "failed"), ("cancel", "running")):
        plan = OrderPlan(name=f"again{number}.{verb}", at_s=0.0, job=number, verb=verb, where=where, kills=())
        Operator(world, plan).live()


def _resume_all(world: World) -> None:
    """Somebody ends every pause, once no order is on its way any more."""
    if world.orders_under_way.total() or world.signing:
        world.kernel.after(1.0, _resume_all, world)
        return
    for n, kind in enumerate(sorted({sign.type or "" for sign in world.plan.signs})):
        plan = SignPlan(name=f"run{n}", at_s=0.0, type=kind or None, is_pause=False, for_s=None, kills=())
        SignOperator(world, plan).live()
    for job_id, acked in world.acked.items():
        if any(control.verb is ControlVerb.PAUSE for control in world.oracle.jobs[job_id].controls):
            number = acked.plan.number
            Operator(world, OrderPlan(name=f"end{number}", at_s=0.0, job=number, verb="resume", kills=())).live()
    _signal_all(world)
    world.is_resumed = True


def _signal_all(world: World) -> None:
    """Somebody sends the signal that tasks wait for, unless it was sent; who died over an order may have told nobody."""
    for job_id, acked in world.acked.items():
        if world.lacks_signal(job_id) or (acked.plan.waits and job_id in world.broken_orders):
            number = acked.plan.number
            Operator(world, OrderPlan(name=f"go{number}", at_s=0.0, job=number, verb="signal", kills=())).live()


def _is_drained(world: World) -> bool:
    return (
        world.is_resumed
        and world.are_schedules_stopped
        and not world.orders_under_way.total()
        and not world.n_submitting
        and not world.signing
        and all(part.is_final for job_id in world.acked for part in world.oracle.parts_of(world.oracle.jobs[job_id]))
    )


def _open(world: World) -> str:
    told = []
    for job_id, acked in world.acked.items():
        counts: Counter[Status] = Counter()
        for part in world.oracle.parts_of(world.oracle.jobs[job_id]):
            counts.update({status: n for status, n in part.counts().items() if n and not status.is_final})
        if counts:
            told.append(f"{acked.plan.name} ({job_id}): {dict(counts)}")
    return f"after {_drain_s(world.plan):g} s: {'; '.join(told)}; markers {world.bucket.keys('open/')}; orders {world.orders_under_way}, {world.n_submitting} submissions"


def _markers(world: World) -> list[str]:
    return [key for key in world.bucket.keys(keys.OPEN) if not key.startswith(keys.PAUSES)]


def _drain_s(plan: Plan) -> float:
    """Return how long the work may take at most: calls that ask for more time take it each time that they are made."""
    longest_s = 0.0
    for job in plan.jobs:
        n_calls = 1 + job.options.get("retries", 0) + job.options.get("max_losses", 0)
        longest_s = max(longest_s, n_calls * max(job.asks.values(), default=0.0))
    return DRAIN_S + longest_s


def _last_due(world: World) -> float:
    """Return when the last marker is due of those that are left, in the time of the kernel, if that is soon enough for a job that waits."""
    now = world.oracle.bucket.now()
    in_s = [keys.parse_marker(key).due - now for key in _left(world)]
    return world.kernel.now + max([0.0, *(one for one in in_s if one <= LONGEST_RECHECK_S)])


def _left(world: World) -> list[str]:
    return [key for key in _markers(world) if any(job_id in key for job_id in world.acked)]


def _idle(world: World, worker: Worker) -> None:
    """A worker without work asks for the bell, lists now and then, and nothing else."""
    assert worker.store is not None
    n_writes, limits = world.oracle.n_writes, world.plan.limits.claim
    world.kernel.run(world.kernel.now + limits.list_every_s + 5.0)
    strange = world.oracle.unreadable
    store = worker.store
    is_idle = all(any(job_id in key for job_id in strange) for key in _markers(world))
    before, before_search = store.requests.snapshot(), store.searches.snapshot()
    world.kernel.run(world.kernel.now + IDLE_S)
    sent, searched = store.requests.snapshot() - before, store.searches.snapshot() - before_search
    most = {"get": IDLE_S / world.plan.poll_s + 4, "list": IDLE_S / limits.list_every_s + 1, "put": 1, "delete": 0}
    most["get"] += len(strange) * IDLE_S / limits.aside_first_s  # which it tries again, ever more rarely
    over = {kind: n for kind, n in sent.items() if n > most[kind]}
    if is_idle and world.oracle.n_writes == n_writes:
        world.oracle.expect(not over, "budget of an idle worker", f"{dict(sent)} in {IDLE_S:g} s")
        n_jobs, n_parts = len(world.oracle.jobs), sum(job.n_parts for job in world.oracle.jobs.values())
        most_searched = N_STEPS * (3 + 2 * n_jobs + n_parts) + n_jobs
        world.oracle.expect(searched.total() <= most_searched, "budget of a search", f"{dict(searched)}")


def _notice(world: World, worker: Worker) -> None:
    """What falls due starts in time, also if the doorbell is heard before the marker is there.

    What else falls due just then may come first, as a job that waits for others does now and then: then there is as much time again.
    """
    assert worker.store is not None
    node = world.node("latecomer")
    queue = world.queue(world.store(node))
    assert isinstance(queue.repository, SimRepository)
    queue.repository.late_s = LATE_MARKER_S
    worker.store.poll_s, worker.store.ring_s = 0.05, 0.0  # type: ignore[misc] # as where requests cost nothing
    world.kernel.run(world.kernel.now + 2 * world.plan.poll_s * world.plan.limits.claim.idle_factor)
    start, since = world.kernel.now, world.oracle.bucket.now()
    others = [key for key in _markers(world) if "/later/" in key]
    plan = _latecomer(world, LATECOMER, delay=DELAY_S)
    node.spawn(lambda: queue.submit(plan.type, plan.number * 1000, **plan.options), name="main")
    is_started = _is_started_within(world, DELAY_S + IN_TIME_S)
    if any(since <= keys.parse_marker(key).due <= world.oracle.bucket.now() for key in others):
        is_started = is_started or _is_started_within(world, IN_TIME_S)
    world.oracle.expect(is_started, "not started in time", f"due {DELAY_S:g} s after {start:.3f}")


def _notice_pause(world: World, worker: Worker) -> None:
    """A pause of the queue is noticed in time, and so is its end; where there were pauses before.

    What is promised is that work is noticed within `IN_TIME_S`, not that it is started before other due work: jobs of one priority are
    tried in any order, and this worker has one slot. So where it wrote something first, which it does for whatever else fell due
    during the pause, there is as much time again. To start what came last first would let what waits longer wait longer still.
    """
    assert worker.store is not None
    if not world.plan.signs:
        return
    node = world.node("pauser")
    queue, pauses = world.queue(world.store(node)), world.oracle.pauses
    node.spawn(lambda: queue.pause("to see what becomes of it"), name="main")
    world.kernel.run(world.kernel.now + IN_TIME_S)
    plan = _latecomer(world, LATECOMER + 1)
    node.spawn(lambda: queue.submit(plan.type, plan.number * 1000), name="main")
    world.oracle.expect(
        not _is_started_within(world, IN_TIME_S), "started while paused", f"{IN_TIME_S:g} s after the pause"
    )
    pauses.begins(node)
    node.spawn(queue.resume, name="main")
    n_puts = worker.store.requests.snapshot()["put"]
    is_started = _is_started_within(world, IN_TIME_S)
    has_worked = worker.store.requests.snapshot()["put"] > n_puts
    is_started = is_started or (has_worked and _is_started_within(world, IN_TIME_S))
    world.oracle.expect(is_started, "not resumed in time", f"{IN_TIME_S:g} s after the end")


def _is_started_within(world: World, seconds: float) -> bool:
    n_before = len(world.oracle.executions)
    world.kernel.run(world.kernel.now + seconds, lambda: len(world.oracle.executions) > n_before)
    return len(world.oracle.executions) > n_before


def _latecomer(world: World, number: int, **options: float) -> JobPlan:
    """Add a job of one task to what may be submitted."""
    plan = JobPlan(
        name=f"latecomer{number}",
        number=number,
        at_s=0.0,
        kind="single",
        key="",
        type=TYPES[0],
        n_tasks=1,
        part_rows=1,
        row_s=0.01,
        options=dict(options),
        fates={},
        n_submitters=1,
        kills=(),
    )
    world.plan = replace(world.plan, jobs=(*world.plan.jobs, plan))
    return plan


def _collect(world: World) -> None:
    """What a person gets in the end."""
    node = world.node("collector")
    queue = world.queue(world.store(node))

    def main() -> None:
        for job_id in world.acked:
            job = queue.job(job_id)
            job.wait(timeout=30.0)
            _check_job(world, job, world.oracle.jobs[job_id])

    task = node.spawn(main, name="main")
    world.kernel.run(world.kernel.now + 120.0, lambda: task.has_ended)
    for error in node.errors:
        world.oracle.fail(f"collect: {type(error).__name__}", "".join(traceback.format_exception(error)))
    world.oracle.expect(task.has_ended or world.oracle.violation, "result does not come", "")


def _check_job(world: World, job: Job, stored: JobObject) -> None:
    oracle = world.oracle
    rows = [one for part in oracle.parts_of(stored) for one in rows_of(part)]
    counts = Counter(str(one.status) for one in rows)
    world.score.statuses.update(counts)
    world.score.ends.update({(job.id, number): str(one.status) for number, one in enumerate(rows)})
    told = {status: n for status, n in job.counts().items() if n}
    oracle.expect(told == dict(counts), "counts of a job", f"{told} for {dict(counts)}")
    check_frame(world, job.id, job.result(errors="coerce"), is_whole=True)
    oracle.expect(len(job.errors()) == counts["failed"], "errors of a job", job.id)
    for number, one in enumerate(rows):
        oracle.check_end(stored, number, one)


def _end(world: World) -> None:
    """Unwind every greenlet, so that nothing of this schedule is left."""
    for node in world.nodes:
        for error in node.errors:
            text = "".join(traceback.format_exception(error))
            world.oracle.fail(f"actor broke: {type(error).__name__}", f"{node.name}: {text}")
        node.is_dead = True
        node.unwind()


def _score(world: World) -> Score:
    score, oracle = world.score, world.oracle
    if oracle.violation is not None:
        score.violation, score.rule = str(oracle.violation), oracle.violation.rule
    score.faults = world.weather.counts
    score.writes, score.executions, score.takeovers = oracle.n_writes, oracle.n_executions, oracle.n_takeovers
    score.runs, score.slots = world.runs, oracle.schedules.n_fired
    score.virtual_s, score.steps = world.kernel.now, world.kernel.steps
    text = repr((world.kernel.steps, world.kernel.now, sorted(world.bucket.keys("")), score.faults, score.violation))
    score.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return score
