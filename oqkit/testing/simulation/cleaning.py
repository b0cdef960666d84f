"""The end of a schedule: people delete jobs, and collect garbage, while others retry those very jobs and workers run them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from oqkit.client.queue import Queue
from oqkit.errors import UnknownJob, UsageError
from oqkit.queue.garbage import Collector
from oqkit.queue.tidy import Tidier, TidyProgress
from oqkit.testing.simulation.kernel import Node
from oqkit.testing.simulation.world import World

MOST_JOBS = 4
AGE_S = 8.0
"""How long ago a job ended, for the garbage collector."""
LOOKS = 6
LOOK_EVERY_S = 1.0
TOGETHER_S = 0.4
"""How far apart at most those begin who do something with the same job."""
LONGEST_S = 600.0
OFTEN = 0.7
"""How probable it is that a job is deleted, and that it is retried."""


def clean(world: World) -> None:
    """Delete some jobs, retry some at the same moment, and see that each is either gone or whole."""
    kernel, oracle = world.kernel, world.oracle
    kernel.run(kernel.now + AGE_S)
    _begin(world, "collector", lambda node, queue: _collect(world, node, queue))
    for n, job_id in enumerate(sorted(world.acked)[:MOST_JOBS]):
        start_s = kernel.now + kernel.rng.random() * LOOKS * LOOK_EVERY_S
        for name, act in (("deleter", _delete), ("retrier", partial(_retry, world))):
            if kernel.rng.random() < OFTEN:
                at_s = start_s + kernel.rng.random() * TOGETHER_S
                kernel.at(at_s, _begin, world, f"{name}{n}", partial(act, job_id))
    kernel.run(kernel.now + LOOKS * LOOK_EVERY_S + TOGETHER_S)
    kernel.run(kernel.now + LONGEST_S, lambda: kernel.steps % 16 == 0 and _is_over(world))
    deleted = oracle.deletions.jobs
    oracle.expect(_is_over(world), "not settled after a delete", f"{_open(world)}, deleted: {sorted(deleted)}")
    world.acked = {job_id: one for job_id, one in world.acked.items() if job_id not in deleted}


def _is_over(world: World) -> bool:
    return not _open(world)


def _open(world: World) -> list[object]:
    """Return the jobs that have not ended, and what the people have not done with yet."""
    oracle = world.oracle
    jobs = [one for one in world.acked if not all(part.is_final for part in oracle.parts_of(oracle.jobs[one]))]
    return [*jobs, *(task for node in world.cleaners for task in node.tasks if not task.has_ended)]


def _begin(world: World, name: str, act: Callable[[Node, Queue], None]) -> None:
    node = world.node(name)
    world.cleaners.append(node)
    queue = world.queue(world.store(node))
    node.spawn(lambda: act(node, queue), name="main")


def _delete(job_id: str, _node: Node, queue: Queue) -> None:
    with contextlib.suppress(UsageError):  # it is run again, or gone
        queue.job(job_id).delete()


def _retry(world: World, job_id: str, _node: Node, queue: Queue) -> None:
    """Retry a job; the signal that its tasks wait for now may have been refused, as they had ended."""
    with contextlib.suppress(UnknownJob):
        job = queue.job(job_id)
        job.retry("all")
        if world.lacks_signal(job_id):
            world.signal(job)


def _collect(world: World, node: Node, queue: Queue) -> None:
    """Look again and again, also for outputs that are only seconds old, by hand and as a duty of workers does."""
    limits = queue.repository.limits
    queue.repository.limits = replace(limits, queue=replace(limits.queue, orphan_s=0.0))
    collector = Collector(queue.repository, older_than_s=AGE_S)
    world.oracle.deletions.ages_s[node.name] = AGE_S
    tidier, progress = Tidier(queue.repository), TidyProgress(since=1.0, news=2.0)
    for look in range(LOOKS):
        if look % 2:
            progress = tidier.step(replace(progress, since=1.0, news=2.0))  # as if it were all new
        else:
            collector.collect()
        node.clock.sleep(LOOK_EVERY_S)
