"""A diamond, a chain, and a fan-out with a fan-in, while workers are killed at random: each child is released once, and soon.

`OQ_PIPELINE_JOBS` is how many jobs the chain and the fan have; 1000 is what is promised.
"""

from __future__ import annotations

import contextlib
import os
import random
from unittest.mock import patch

import pytest

from oqkit.limits import Limits
from oqkit.queue.job import ControlVerb
from oqkit.testing.simulation.actor import Worker
from oqkit.testing.simulation.oracle import Oracle
from oqkit.testing.simulation.plan import JobPlan, Kill, Plan, WorkerPlan
from oqkit.testing.simulation.world import Acked, World, following, quiet, telling_attempts

N_JOBS = int(os.environ.get("OQ_PIPELINE_JOBS", "40"))
N_WORKERS = 4
WITHIN_S = 5.0
LONGEST_S = 40.0
"""How long a job may take on average, lost leases included, before a schedule counts as stuck."""


def diamond(n):
    """Return, for each job, the jobs that it depends on."""
    return [[], [0], [0], [1, 2]]


def chain(n):
    return [[], *([one] for one in range(n - 1))]


def fan(n):
    return [[], *([0] for _ in range(n)), list(range(1, n + 1))]


def schedule(seed, n_jobs):
    rng = random.Random(f"{seed}/pipeline test")
    jobs = tuple(
        JobPlan(
            name=f"job{n}", number=n, at_s=0.0, kind="single", key="", type="alpha", n_tasks=1, part_rows=1,
            row_s=rng.choice((0.01, 0.2)), options={}, fates={}, n_submitters=1, kills=(),
        )
        for n in range(n_jobs)
    )  # fmt: skip

    def kill(name):
        if rng.random() < 0.7:
            return Kill(name=name, write=rng.randrange(30), is_after=rng.random() < 0.5)
        return Kill(name=name, after_s=rng.uniform(0.5, 20.0))

    workers = tuple(
        WorkerPlan(
            name=f"worker{n}", types=("alpha",), concurrency=1, is_process=False, isolates_after=9, grace_s=1.0,
            skew_s=rng.uniform(-100.0, 100.0), drift=0.0, pauses=(),
            kills=tuple(kill(f"kill{n}.{k}") for k in range(20 * n_jobs)),
        )
        for n in range(N_WORKERS)
    )  # fmt: skip
    return Plan(
        seed=seed, chaos_s=1e9, lease_s=5.0, poll_s=0.7, limits=Limits(), has_md5_etags=True, workers=workers, jobs=jobs,
        orders=(), reads=(), tricks=(), faults={}, outages=(), latency_s=0.01, slow=0.0, looks_again=False,
    )  # fmt: skip


class Times:
    """When jobs were there, had ended, and were released, in seconds of the bucket's clock."""

    def __init__(self):
        self.there, self.ended, self.released = {}, {}, {}

    def late_s(self, job_id, parents):
        """Return how long after the last of its parents had ended a job was released."""
        return self.released[job_id] - max([self.there[job_id], *(self.ended[parent] for parent in parents)])


@contextlib.contextmanager
def noting(times):
    """Note when jobs end and are released, as the oracle sees it."""
    note_end, check_release = Oracle._note_end, Oracle._check_release

    def noted(self, job):
        note_end(self, job)
        if job.id in self.ended:
            times.ended.setdefault(job.id, self.bucket.now())

    def checked(self, job, *, known):
        check_release(self, job, known=known)
        if any(it.verb is ControlVerb.RELEASE for it in job.controls[known:]):
            times.released[job.id] = self.bucket.now()

    with patch.object(Oracle, "_note_end", noted), patch.object(Oracle, "_check_release", checked):
        yield


def play(parents, seed):
    """Submit jobs, let workers run them that die all the time, and return when what happened, and the ids."""
    world, times, ids = World(schedule(seed, len(parents))), Times(), list[str]()
    kernel = world.kernel
    node = world.node("submitter")
    queue = world.queue(world.store(node))

    def submit():
        for number, before in enumerate(parents):
            task = queue.submit("alpha", number * 1000, **({"depends_on": [ids[n] for n in before]} if before else {}))
            ids.append(task.job.id)
            times.there[task.job.id] = world.bucket.now()
            world.acked[task.job.id] = Acked(world.plan.jobs[number], task.job.id)

    with quiet(), telling_attempts(), following(world.plan), noting(times):
        for worker in [Worker(world, one) for one in world.plan.workers]:
            worker.live()
        node.spawn(submit, name="main")
        kernel.run(
            LONGEST_S * len(parents),
            lambda: kernel.steps % 64 == 0 and len(ids) == len(parents) and len(times.ended) == len(parents),
        )
        for one in world.nodes:
            one.is_dead = True
            one.unwind()
    assert world.oracle.violation is None, world.oracle.violation
    assert len(times.ended) == len(parents), f"{len(parents) - len(times.ended)} have not ended"
    return times, ids, world


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(int(os.environ.get("OQ_PIPELINE_SEEDS", "2"))))
@pytest.mark.parametrize("shape", (diamond, chain, fan), ids=lambda shape: shape.__name__)
def test_each_child_is_released_once_and_soon_while_workers_die(shape, seed, capsys):
    parents = shape(N_JOBS)
    times, ids, world = play(parents, seed)
    late = {ids[n]: times.late_s(ids[n], [ids[one] for one in before]) for n, before in enumerate(parents) if before}
    with capsys.disabled():
        print(
            f"\n{shape.__name__} {len(parents)}: latest {max(late.values()):.2f} s, {world.score.kills} kills, {world.kernel.now:.0f} s"
        )
    assert {job_id for job_id, late_s in late.items() if late_s > WITHIN_S} == set()
    assert world.score.kills >= 1
    assert oracle_releases(world, ids[1:]) == {1}


def oracle_releases(world, ids):
    """Return how often jobs were released."""
    controls = (world.oracle.jobs[one].controls for one in ids)
    return {sum(it.verb is ControlVerb.RELEASE for it in these) for these in controls}
