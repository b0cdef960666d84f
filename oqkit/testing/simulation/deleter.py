"""Parents that are deleted while a child waits for another one: how they had ended decides all the same."""

from __future__ import annotations

import random
from dataclasses import replace

from oqkit.client.queue import Queue
from oqkit.errors import OqError, UnknownJob, UsageError
from oqkit.testing.simulation.actor import Actor
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.plan import PERMANENT, DeletePlan, JobPlan, OrderPlan, Plan, ReadPlan, Trick
from oqkit.testing.simulation.world import World

LOOK_EVERY_S = 0.5


def with_deletes(plan: Plan) -> Plan:
    """Let some jobs be deleted that others depend on beside further ones; nobody else has to do with those."""
    rng = random.Random(f"{plan.seed}/deletes")  # noqa: S311 - a seed must replay
    people: tuple[tuple[OrderPlan | ReadPlan | Trick, ...], ...] = (plan.orders, plan.reads, plan.tricks)
    asked = {one.job for group in people for one in group}

    def may_go(job: JobPlan) -> bool:
        is_wanted = any(job.number in child.depends_on and len(child.depends_on) > 1 for child in plan.jobs)
        return is_wanted and job.number not in asked and not job.again_s and not job.waits

    def quick(job: JobPlan) -> JobPlan:
        fates: dict[int, tuple[str, ...]] = {0: (PERMANENT,)} if rng.random() < 0.7 else {}
        return replace(job, key="", n_submitters=1, kills=(), row_s=0.01, n_tasks=1, fates=fates, options={}, asks={})

    chosen = {job.number: quick(job) for job in plan.jobs if may_go(job)}
    jobs = tuple(chosen.get(job.number, job) for job in plan.jobs)
    deletes = tuple(DeletePlan(name=f"delete{job.number}", at_s=job.at_s, job=job.number) for job in chosen.values())
    return replace(plan, jobs=jobs, deletes=deletes)


class Deleter(Actor):
    """Deletes a job once it has ended, and all are stored that depend on it."""

    def __init__(self, world: World, plan: DeletePlan) -> None:
        super().__init__(world, plan.name, ())
        self.plan = plan

    def act(self, node: Node, queue: Queue) -> None:
        world, number = self.world, self.plan.job
        waiting = {job.number for job in world.plan.jobs if number in job.depends_on}
        while not world.weather.is_fair:
            stored = {one.plan.number: job_id for job_id, one in world.acked.items()}
            if number in stored and waiting <= stored.keys() and not world.n_submitting:
                try:
                    queue.job(stored[number]).delete()
                except UsageError as error:  # it has not ended; or it is gone, and the answer was lost
                    if isinstance(error, UnknownJob):
                        break
                except OqError:
                    pass
                else:
                    break
            node.clock.sleep(LOOK_EVERY_S)
        world.acked = {job_id: one for job_id, one in world.acked.items() if job_id not in world.oracle.deletions.jobs}
