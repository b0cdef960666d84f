"""One schedule: the real queue, workers and handles, played by the actors of a `Plan` on one kernel."""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import pandas as pd

from oqkit.claim.lease import HeldLease
from oqkit.client.handle import Job
from oqkit.client.queue import Queue
from oqkit.config import Settings as Config
from oqkit.errors import PermanentError, Reschedule, Skip, UsageError
from oqkit.limits import Limits
from oqkit.payload.codec import ParquetCodec
from oqkit.queue import dependency, release
from oqkit.queue import key as keys
from oqkit.queue.bell import News
from oqkit.queue.cas import Versioned
from oqkit.queue.job import ControlVerb
from oqkit.queue.job import Job as JobObject
from oqkit.queue.layout import SETTINGS, Settings
from oqkit.queue.part import Part
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.task.context import Context
from oqkit.task.function import Options, TaskFunction
from oqkit.task.modules import LoadedModules
from oqkit.testing.simulation.ask import leases_of, talk
from oqkit.testing.simulation.bucket import Bucket, SimStore
from oqkit.testing.simulation.fact import Attempt
from oqkit.testing.simulation.green_thread import SimThreads
from oqkit.testing.simulation.kernel import Kernel, Node, current
from oqkit.testing.simulation.oracle import Oracle
from oqkit.testing.simulation.plan import (
    CRASH,
    KILL,
    OK,
    PERISH,
    PERMANENT,
    RAISE,
    RESCHEDULE,
    SKIP,
    SLOW,
    TYPES,
    JobPlan,
    Kill,
    Plan,
)
from oqkit.testing.simulation.process_like import ProcessLikeExecution
from oqkit.testing.simulation.signal_fact import check_signal
from oqkit.worker.interface import Inputs
from oqkit.worker.worker import WorkerLoop

SIGNAL = "go"
"""What tasks wait for."""
TOO_LATE_S = 200.0
"""Later than the end of what a schedule waits for."""


class SimRepository(Repository):
    """A repository whose every promise is held against what was written."""

    def __init__(self, store: SimStore, oracle: Oracle, *, seed: object, limits: Limits, settings: Settings) -> None:
        rng = random.Random(f"{seed}/{store.node.name}/repository")  # noqa: S311 - a seed must replay
        super().__init__(store, settings, rng=rng, limits=limits)
        self._oracle = oracle
        self._node = store.node
        self.ordered_gen = 0
        self.late_s: float | None = None
        """How much later than the bell a marker is written; infinite: its writer dies before. None: as it comes."""

    def announce(self, marker: keys.Marker, *, job: JobObject | None = None) -> None:
        if self.late_s is None:
            super().announce(marker, job=job)
            return
        self.ring(None if job is None else News(marker=marker, job=job))
        if self.late_s == float("inf"):
            self._node.kill()
            current().park()
        self.store.clock.sleep(self.late_s)
        self.put_marker(marker)

    def create_job(self, job: JobObject) -> Versioned[JobObject]:
        with self._oracle.call(f"create {job.id}", self._node, is_own=True) as call:
            held = super().create_job(job)
            call.told = "ok" if held.doc.origin == job.origin else "no"
        return held

    def update_job(
        self,
        job_id: str,
        change: Callable[[JobObject], JobObject],
        *,
        applied: Callable[[JobObject], bool],
        held: Versioned[JobObject] | None = None,
    ) -> Versioned[JobObject]:
        with self._oracle.call(f"order {job_id}", self._node, is_own=held is None) as call:
            held = super().update_job(job_id, change, applied=applied, held=held)
            told = (replace(held.doc, controls=held.doc.controls[:n]) for n in range(len(held.doc.controls) + 1))
            self.ordered_gen = next((doc.gen for doc in told if applied(doc)), 0)  # others may have ordered since
            call.told = "ok" if applied(held.doc) else "no"
        return held

    def update_part(
        self,
        job: JobObject,
        index: int,
        change: Callable[[Part], Part],
        *,
        applied: Callable[[Part], bool],
        held: Versioned[Part] | None = None,
        patience_s: float | None = None,
    ) -> Versioned[Part]:
        what = "claim or commit" if held is not None else "bring up"
        with self._oracle.call(f"{what} {job.id}/{index}", self._node, is_own=held is not None) as call:
            found = super().update_part(job, index, change, applied=applied, held=held, patience_s=patience_s)
            call.told = "ok" if applied(found.doc) else "no"
        return found


class SimCodec(ParquetCodec):
    """The real codec; one thread of a node at a time reads inputs, as its locks block for real."""

    def __init__(self, repository: Repository, threads: SimThreads) -> None:
        super().__init__(repository)
        self._opening = threads.lock()

    def open(self, job: JobObject, index: int) -> Inputs:
        with self._opening:
            return super().open(job, index)


@dataclass(slots=True)
class Acked:
    """A job whose submission was acknowledged."""

    plan: JobPlan
    id: str


@dataclass(slots=True)
class Score:
    """What happened in a schedule."""

    seed: int
    violation: str = ""
    rule: str = ""
    kills: int = 0
    pauses: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    requests: int = 0
    tasks: int = 0
    executions: int = 0
    takeovers: int = 0
    orders: int = 0
    slots: int = 0
    tricks: int = 0
    drain_s: float = 0.0
    virtual_s: float = 0.0
    steps: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    ends: dict[tuple[str, int], str] = field(default_factory=dict)
    """(job, row) to its status in the end."""
    runs: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(job, row) to how often it was called."""
    digest: str = ""


class World:
    """The bucket, the nodes, and the plan they follow."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.kernel = Kernel(plan.seed)
        self.bucket = Bucket(self.kernel, has_md5_etags=plan.has_md5_etags)
        self.oracle = Oracle(self.bucket, lease_s=plan.lease_s, limits=plan.limits.queue, shards=plan.shards)
        self.bucket.put(keys.SETTINGS, SETTINGS.dump(Settings(shards=plan.shards)), modified_s=self.bucket.now())
        self.weather = plan.weather()
        self.score = Score(plan.seed)
        self.acked: dict[str, Acked] = {}
        self.by_plan: dict[int, str] = {}
        self.parents: dict[int, list[str]] = {}
        """Of jobs that wait for others, those that were known when it was first submitted."""
        self.orders_under_way: Counter[str] = Counter()
        """Job to how many people are giving it an order."""
        self.broken_orders: set[str] = set()
        """Jobs that somebody died over while giving an order."""
        self.are_schedules_stopped = not plan.schedules
        self.is_resumed = False
        """Whether every pause was ended, after all the trouble."""
        self.signing: set[str] = set()
        """Who is pausing or resuming the queue or a type."""
        self.n_submitting = self.n_signals = 0
        """How many submissions with a key are not known to be stored yet."""
        self.loops: dict[str, WorkerLoop] = {}
        self.nodes: list[Node] = []
        self.cleaners: list[Node] = []
        """Who deletes, collects garbage, or retries at the same time, in the end."""
        self.runs: Counter[tuple[str, int]] = Counter()
        self.running: defaultdict[tuple[str, str], dict[str, Context]] = defaultdict(dict)
        """(node, job) to the leases under which it is calling the function, and what the call is told."""
        self.stores: dict[str, SimStore] = {}
        """Those of workers, by node."""
        self.isolates_after: dict[str, int] = {}
        """Node to how many lost leases in a row make its worker isolate rows."""

    # --- nodes -----------------------------------------------------------------------------------

    def node(self, name: str, *, skew_s: float = 0.0, drift: float = 0.0) -> Node:
        """Start a process."""
        node = Node(self.kernel, name, skew_s=skew_s, drift=drift)
        self.nodes.append(node)
        return node

    def store(self, node: Node) -> SimStore:
        """Connect a node to the bucket."""
        return SimStore(self.bucket, node, self.weather, seed=self.plan.seed, poll_s=self.plan.poll_s)

    def queue(self, store: SimStore) -> Queue:
        """Open the queue."""
        settings = SETTINGS.load(self.bucket.data(keys.SETTINGS) or b"", keys.SETTINGS)  # as it is now
        repository = SimRepository(store, self.oracle, seed=self.plan.seed, limits=self.plan.limits, settings=settings)
        return Queue(repository, Config(url="sim://bucket"))

    def doom(self, node: Node, store: SimStore, kill: Kill, *, stop: Callable[[], None] | None = None) -> None:
        """Arrange how a node ends."""
        if kill.write is not None:
            store.kill_at_write = (kill.write, kill.is_after)
        elif kill.is_stop and stop is not None:
            self.kernel.after(kill.after_s, lambda: None if node.is_dead else stop())
        else:
            self.kernel.after(kill.after_s, lambda: None if self.weather.is_fair else node.kill())

    def lacks_signal(self, job_id: str) -> bool:
        """Whether tasks of a job may wait for a signal: it was sent none, perhaps because they had ended, or was retried since."""
        told = [control.verb for control in self.oracle.jobs[job_id].controls]
        last = next((verb for verb in reversed(told) if verb in {ControlVerb.SIGNAL, ControlVerb.RETRY}), None)
        return self.acked[job_id].plan.waits and last is not ControlVerb.SIGNAL

    def signal(self, job: Job) -> None:
        """Send a job the signal that its tasks wait for, each time with another value."""
        self.n_signals += 1
        with contextlib.suppress(UsageError):  # they have ended
            job.signal(SIGNAL, self.n_signals)

    def died(self) -> None:
        """Count a death."""
        self.score.kills += 1

    # --- what tasks do ---------------------------------------------------------------------------

    def function(self, node: Node, type_name: str) -> TaskFunction:
        """Return the task function of a type, as a node has it."""

        def work(x: int, ctx: Context) -> dict[str, object]:
            return self.execute(node, [x], ctx)[0]

        def work_batch(frame: pd.DataFrame, ctx: Context) -> pd.DataFrame:
            return pd.DataFrame(self.execute(node, [int(x) for x in frame["x"]], ctx))

        is_batch = type_name == TYPES[-1]
        return TaskFunction(work_batch if is_batch else work, name=type_name, batch=is_batch, options=Options())

    def execute(self, node: Node, xs: list[int], ctx: Context) -> list[dict[str, object]]:
        """Run some rows."""
        node.check()
        job_id, row = keys.parse_task_id(ctx.task_id)
        self.oracle.expect(xs[0] % 1000 == row, "input of another row", f"{ctx.task_id} got {xs}")
        plan = next(job for job in self.plan.jobs if job.number == xs[0] // 1000)
        attempt = ctx.attempt if isinstance(ctx.attempt, Attempt) and plan.type != TYPES[-1] else None
        rows = [x % 1000 for x in xs]
        is_isolated = isinstance(current().context, ProcessLikeExecution)
        lease = "" if attempt is None else attempt.lease
        self._started(node, job_id, lease, ctx)
        executions = [
            self.oracle.execute(
                node,
                job_id,
                one,
                attempt=attempt,
                is_isolated=is_isolated,
                isolates_after=self.isolates_after.get(node.name, 1),
            )
            for one in rows
        ]
        if plan.waits:
            check_signal(self.oracle, job_id, row, ctx.wait_for_signal(SIGNAL), attempt=attempt)
        fates = [self._fate(plan, job_id, one) for one in rows]
        worst = next((fate for fate in fates if fate != OK), OK)
        guilty = rows if worst == RESCHEDULE else [one for one, fate in zip(rows, fates, strict=True) if fate == worst]
        leases = [attempt.lease] if attempt is not None else leases_of(self.oracle, node, job_id, rows)
        talk(self.oracle, node, plan, ctx, rows=rows, leases=leases)
        try:
            self._behave(node, plan, worst, [(job_id, one, worst) for one in guilty])
        finally:
            self.running[node.name, job_id].pop(lease, None)
        for x, execution in zip(xs, executions, strict=True):
            self.oracle.values[execution] = x * 7 + 3  # noqa: PD011 - not a frame
        return [{"y": x * 7 + 3, "e": execution} for x, execution in zip(xs, executions, strict=True)]

    def _started(self, node: Node, job_id: str, lease: str, ctx: Context) -> None:
        """Tell the oracle of a call, and how many of its job the node runs whose outcome it still wants."""
        oracle = self.oracle
        job = oracle.jobs[job_id]
        if not job.limits:
            return
        running = self.running[node.name, job_id]
        running[lease] = ctx
        held = {
            one for (of, _, who), leases in oracle.holds.items() if (of, who) == (job_id, node.name) for one in leases
        }
        alive = [one for one, call in running.items() if one in held and not call.cancelled]
        oracle.quotas.started(
            node.name,
            job,
            doubt_s=self.stores[node.name].doubt_s(),
            pause_s=oracle.longest_pause_s,
            n_running=len(alive) if lease else None,
        )

    def _fate(self, plan: JobPlan, job_id: str, row: int) -> str:
        fates, n = plan.fates.get(row, ()), self.runs[job_id, row]
        self.runs[job_id, row] += 1
        return fates[n] if n < len(fates) else OK

    def _behave(self, node: Node, plan: JobPlan, fate: str, guilty: list[tuple[str, int, str]]) -> None:
        execution = current().context
        self.oracle.raised.update(guilty)
        if fate in (KILL, PERISH) or (fate == CRASH and isinstance(execution, ProcessLikeExecution)):
            node.clock.sleep(plan.row_s / 2)
            if isinstance(execution, ProcessLikeExecution):
                execution.die(by_force=fate == KILL)
            node.kill()  # nothing of the process is left
            current().park()
        slow_s = float(plan.options.get("timeout", 3.0)) * 1.7 if fate == SLOW else 0.0
        node.clock.sleep(plan.row_s + slow_s)
        if fate in (RAISE, CRASH):
            raise ValueError("told to")
        if fate == PERMANENT:
            raise PermanentError("told to")
        if fate == RESCHEDULE:
            raise Reschedule(1.5)
        if fate == SKIP:
            raise Skip


@contextlib.contextmanager
def telling_attempts() -> Iterator[None]:
    """Let every call be told of which lease it is."""
    real = HeldLease.attempts

    def attempts(lease: HeldLease) -> tuple[tuple[Rows, int], ...]:
        return tuple((rows, Attempt.under(lease.id, number)) for rows, number in real(lease))

    with patch.object(HeldLease, "attempts", attempts):
        yield


@contextlib.contextmanager
def following(plan: Plan) -> Iterator[None]:
    """Let the parents of jobs be looked at as a plan says: so many together, and in time, or only when that is too late."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(release, "BLOCK", plan.block))
        for name in () if plan.looks_again else ("FIRST_RECHECK_S", "LONGEST_RECHECK_S"):
            stack.enter_context(patch.object(dependency, name, TOO_LATE_S))
        yield


def without_looking_at_sources() -> contextlib.AbstractContextManager[object]:
    """Let workers take no note of the files that this process has imported: nobody edits those, and there are a thousand."""
    return patch.object(LoadedModules, "note", lambda _self: None)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what the code under test tells people out of the way."""
    logger = logging.getLogger("oqkit")
    before, logger.disabled = logger.level, False
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
