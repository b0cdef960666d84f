"""Who acts in a schedule: submitters, workers, people who give orders, people who look."""

from __future__ import annotations

import contextlib
from typing import Any

import pandas as pd

from oqkit.claim.lease import HeldLease
from oqkit.client.handle import Job
from oqkit.client.queue import Queue
from oqkit.client.single import Task
from oqkit.errors import IllegalTransition, OqError, UsageError
from oqkit.queue import key as keys
from oqkit.testing.simulation.bucket import SimStore
from oqkit.testing.simulation.green_thread import SimThreads
from oqkit.testing.simulation.kernel import Node, current
from oqkit.testing.simulation.limited import most_requests
from oqkit.testing.simulation.plan import JobPlan, Kill, OrderPlan, ReadPlan, SignPlan, WorkerPlan
from oqkit.testing.simulation.process_like import ProcessLikeExecutor
from oqkit.testing.simulation.tag_fact import give_tag
from oqkit.testing.simulation.world import Acked, SimCodec, SimRepository, World
from oqkit.worker.executor import Executor, ThreadExecutor
from oqkit.worker.worker import WorkerLoop

RESTART_S = 2.0
#: How many markers a job has at most in a schedule: its own, those of orders, stale ones.
MARKERS = 12


class Actor:
    """Something that runs in a process of its own and is started again when that dies."""

    def __init__(self, world: World, name: str, kills: tuple[Kill, ...]) -> None:
        self.world = world
        self.name = name
        self.kills = list(kills)
        self.n_lives = 0
        self.is_done = False

    def skew(self) -> dict[str, float]:
        """Return how far the machine's clock is off."""
        return {}

    def live(self) -> None:
        """Start a process."""
        if self.is_done:
            return
        world = self.world
        node = world.node(f"{self.name}.{self.n_lives}", **self.skew())
        self.n_lives += 1
        node.when_dead = self._died
        store = world.store(node)
        kill = self.kills.pop(0) if self.kills and not world.weather.is_fair else None
        self.begin(node, store, kill)

    def _died(self) -> None:
        self.world.died()
        if self.is_wanted_again():
            self.world.kernel.after(RESTART_S * (0.2 + self.world.kernel.rng.random()), self.live)

    def is_wanted_again(self) -> bool:
        """Whether to start a new process after a death."""
        return not self.is_done

    def begin(self, node: Node, store: SimStore, kill: Kill | None) -> None:
        """Do what there is to do in a new process."""
        if kill is not None:
            self.world.doom(node, store, kill)
        queue = self.world.queue(store)

        def main() -> None:
            self.act(node, queue)
            self.is_done = True

        node.spawn(main, name="main")

    def act(self, node: Node, queue: Queue) -> None:
        """Play the part."""
        raise NotImplementedError


# --- workers -------------------------------------------------------------------------------------


class Worker(Actor):
    """A machine whose worker is started again whenever it ends."""

    def __init__(self, world: World, plan: WorkerPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan
        self.loop: WorkerLoop | None = None
        self.node: Node | None = None
        self.store: SimStore | None = None
        for pause in plan.pauses:
            world.kernel.at(pause.at_s, self._pause, pause.for_s)

    def skew(self) -> dict[str, float]:
        return {"skew_s": self.plan.skew_s, "drift": self.plan.drift}

    def _pause(self, seconds: float) -> None:
        if self.node is not None and not self.node.is_dead:
            self.node.pause(seconds)
            oracle = self.world.oracle
            oracle.longest_pause_s = max(oracle.longest_pause_s, seconds)
            self.world.score.pauses += 1

    def begin(self, node: Node, store: SimStore, kill: Kill | None) -> None:
        world, threads = self.world, SimThreads(node)
        self.node, queue = node, world.queue(store)

        def executor() -> Executor:
            if self.plan.is_process:
                return ProcessLikeExecutor(threads)
            return ThreadExecutor(threads, isolating=lambda: ProcessLikeExecutor(threads))

        loop = self.loop = WorkerLoop(
            queue.repository,
            SimCodec(queue.repository, threads),
            [world.function(node, name) for name in self.plan.types],
            concurrency=self.plan.concurrency,
            executor=executor,
            lease_s=world.plan.lease_s,
            grace_s=self.plan.grace_s,
            isolates_after=self.plan.isolates_after,
            shard_leases=world.plan.shares,
            name=node.name,
            threads=threads,
        )
        if kill is not None:
            world.doom(node, store, kill, stop=loop.stop)
        self.store = world.stores[node.name] = store
        store.deaf_at_s = self.plan.deaf_at_s
        world.isolates_after[node.name] = self.plan.isolates_after
        self._meter(loop)

        def main() -> None:
            with contextlib.suppress(OqError):  # the store did not answer at the start
                loop.run()
            if not self.is_done:
                world.kernel.after(RESTART_S, self.live)
            node.is_dead = True

        node.spawn(main, name="main")

    def _meter(self, loop: WorkerLoop) -> None:
        """Hold every poll against its budget (guarantee G6), unless something went wrong in it."""
        oracle, find = self.world.oracle, loop._source._claimer.find  # noqa: SLF001
        limits = self.world.plan.limits.claim
        a_job = 2 + limits.read_parts + 2 * limits.job_claims + MARKERS
        n_waiting = sum(bool(job.depends_on) for job in self.world.plan.jobs)
        n_signs = len({sign.type for sign in self.world.plan.signs})
        most = most_requests(self.world.plan) + 4 + 2 * len(self.plan.types) + (2 + n_signs if n_signs else 0)
        most += (limits.find_jobs + 4 * n_waiting) * a_job

        def metered(**more: Any) -> HeldLease | None:
            me = current()
            requests, troubles = me.n_requests, me.n_troubles
            found = find(**more)
            n = me.n_requests - requests
            oracle.expect(n <= most or me.n_troubles > troubles, "budget of a poll", f"{n} requests, at most {most}")
            return found

        loop._source._claimer.find = metered  # type: ignore[method-assign]  # noqa: SLF001

    def retire(self) -> None:
        """Stop for good."""
        self.is_done = True
        if self.loop is not None and self.node is not None and not self.node.is_dead:
            self.loop.stop()


# --- submitters ----------------------------------------------------------------------------------


class Submitter(Actor):
    """Submits a job; with a key, again and again until it is known to be stored."""

    def __init__(self, world: World, plan: JobPlan, number: int) -> None:
        super().__init__(world, f"{plan.name}.{number}", plan.kills if number == 0 else ())
        self.plan = plan

    def is_wanted_again(self) -> bool:
        return not self.is_done and bool(self.plan.key)

    def begin(self, node: Node, store: SimStore, kill: Kill | None) -> None:
        if self.plan.key and self.n_lives == 1:
            self.world.n_submitting += 1
        super().begin(node, store, kill)

    def act(self, node: Node, queue: Queue) -> None:
        assert isinstance(queue.repository, SimRepository)
        if self.plan.is_half and self.n_lives == 1 and self.name.endswith(".0"):
            queue.repository.late_s = float("inf")
        self._act(node, queue)
        self.world.n_submitting -= bool(self.plan.key)

    def _act(self, node: Node, queue: Queue) -> None:
        while True:
            try:
                handle = self._submit(queue)
            except OqError:
                if not self.plan.key:
                    return
                node.clock.sleep(1.0)
            else:
                self._acked(handle.job.id if isinstance(handle, Task) else handle.id)
                return

    def _submit(self, queue: Queue) -> Job | Task:
        plan, options = self.plan, self._options()
        values = [plan.number * 1000 + row for row in range(plan.n_tasks)]
        if plan.kind == "single":
            return queue.submit(plan.type, values[0], key=plan.key or None, **options)
        named = {"name": plan.key or None, "part_rows": min(plan.part_rows, 10_000), **options}
        if plan.kind == "map":
            return queue.map(plan.type, values, **named)
        return queue.submit_frame(pd.DataFrame({"x": values}), plan.type, **named)

    def _options(self) -> dict[str, Any]:
        """Return the options of the submission, the same each time."""
        plan, by_plan = self.plan, self.world.by_plan
        known = [by_plan[number] for number in plan.depends_on if number in by_plan]
        parents = self.world.parents.setdefault(plan.number, known)
        if not parents:
            return {name: value for name, value in plan.options.items() if name != "on_failure"}
        return {**plan.options, "depends_on": parents}

    def _acked(self, job_id: str) -> None:
        world, plan = self.world, self.plan
        job = world.oracle.jobs.get(job_id)
        if job is None or job.n_tasks != plan.n_tasks:
            world.oracle.fail("acknowledged but not stored", f"{plan.name} as {job_id}")
            return
        self._check_identity(job_id)
        if job_id not in world.acked:
            world.acked[job_id] = Acked(plan, job_id)
            world.score.tasks += plan.n_tasks
            world.oracle.check_acked(job_id)

    def _check_identity(self, job_id: str) -> None:
        world, plan = self.world, self.plan
        known = world.by_plan.setdefault(plan.number, job_id)
        world.oracle.expect(known == job_id, "one key, two jobs", f"{plan.name}: {known} and {job_id}")


# --- people --------------------------------------------------------------------------------------


class Operator(Actor):
    """Cancels, retries, pauses or resumes, and repeats that until it is told that it is done."""

    def __init__(self, world: World, plan: OrderPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan
        self.job_id = ""
        """What it is giving an order for just now."""

    def is_wanted_again(self) -> bool:
        if self.job_id:
            self.world.orders_under_way[self.job_id] -= 1
            self.world.broken_orders.add(self.job_id)
        return False

    def act(self, node: Node, queue: Queue) -> None:
        world = self.world
        job_id = world.by_plan.get(self.plan.job)
        if job_id is None:
            return
        self.job_id = job_id
        world.orders_under_way[job_id] += 1
        while True:
            try:
                self._order(queue, job_id)
            except OqError:
                node.clock.sleep(1.0)
            else:
                break
        world.orders_under_way[job_id] -= 1
        self.job_id = ""
        world.score.orders += 1

    def _order(self, queue: Queue, job_id: str) -> None:
        job = queue.job(job_id)
        where, repository = self.plan.where, queue.repository
        assert isinstance(repository, SimRepository)
        repository.ordered_gen = 0
        if self.plan.verb == "pause":
            with contextlib.suppress(UsageError):  # it has ended
                job.pause(resume_after=self.plan.for_s)
        elif self.plan.verb == "resume":
            job.resume()
        elif self.plan.verb == "signal":
            self.world.signal(job)
        elif self.plan.verb == "tag":
            give_tag(self.world, job, where)
        elif self.plan.verb == "reprioritize":
            with contextlib.suppress(UsageError):  # the same
                job.reprioritize(where)
        else:
            if isinstance(where, list):
                where = [row for row in where if row < len(job)]
                if len(where) == 1:
                    self._order_task(queue, job_id, where[0])
                    return
            job.cancel(where) if self.plan.verb == "cancel" else job.retry(where)
        self.world.oracle.check_order(job_id, repository.ordered_gen)

    def _order_task(self, queue: Queue, job_id: str, row: int) -> None:
        task = queue.get(keys.task_id(job_id, row))
        try:
            task.cancel() if self.plan.verb == "cancel" else task.retry()
        except IllegalTransition:
            return


class SignOperator(Actor):
    """Pauses the queue or a type, or resumes it, and repeats that until it is told that it is done."""

    def __init__(self, world: World, plan: SignPlan) -> None:
        super().__init__(world, plan.name, plan.kills)
        self.plan = plan

    def is_wanted_again(self) -> bool:
        self.world.signing.discard(self.name)
        return False

    def act(self, node: Node, queue: Queue) -> None:
        plan, world = self.plan, self.world
        world.signing.add(self.name)
        while True:
            world.oracle.pauses.begins(node)
            try:
                if plan.is_pause:
                    queue.pause(plan.name, resume_after=plan.for_s, type=plan.type)
                else:
                    queue.resume(type=plan.type)
            except OqError:
                node.clock.sleep(1.0)
            else:
                break
        world.signing.discard(self.name)
        world.score.orders += 1


class Reader(Actor):
    """Looks at a job while it runs."""

    def __init__(self, world: World, plan: ReadPlan) -> None:
        super().__init__(world, plan.name, ())
        self.plan = plan

    def act(self, node: Node, queue: Queue) -> None:  # noqa: ARG002 - every actor gets its node
        job_id = self.world.by_plan.get(self.plan.job)
        if job_id is None:
            return
        try:
            job = queue.job(job_id)
            getattr(self, f"_{self.plan.how}")(job)
        except OqError:
            return

    def _counts(self, job: Job) -> None:
        self.world.oracle.expect(sum(job.counts().values()) == len(job), "counts of a job", job.id)

    def _status(self, job: Job) -> None:
        known = ("pending", "blocked", "running", "paused", "cancelling", "completed", "failed", "cancelled", "expired")
        self.world.oracle.expect(job.status in known, "status of a job", job.id)

    def _partial(self, job: Job) -> None:
        check_frame(self.world, job.id, job.partial(), is_whole=False)

    def _as_completed(self, job: Job) -> None:
        seen: set[int] = set()
        for frame in job.as_completed(timeout=60.0):
            rows = {int(row) for row in frame.index}
            self.world.oracle.expect(not rows & seen, "row seen twice", f"{job.id}: {rows & seen}")
            seen |= rows
            check_frame(self.world, job.id, frame, is_whole=False)

    def _wait(self, job: Job) -> None:
        job.wait(timeout=60.0)
        check_frame(self.world, job.id, job.result(errors="coerce"), is_whole=True)


def check_frame(world: World, job_id: str, frame: pd.DataFrame, *, is_whole: bool) -> None:
    """Every value is that of the execution whose outcome was recorded."""
    oracle = world.oracle
    if "e" not in frame.columns:
        return
    for row, y, e in zip(frame.index, frame["y"], frame["e"], strict=True):
        if pd.isna(e):
            continue
        execution = int(e)
        is_right = oracle.committed.get((job_id, int(row))) == execution and int(y) == oracle.values.get(execution)  # noqa: PD011 - not a frame
        oracle.expect(is_right, "result that was not recorded", f"{job_id}.{row}: execution {execution}, value {y}")
    if is_whole:
        oracle.expect(len(frame) == oracle.jobs[job_id].n_tasks, "result of another length", job_id)
