"""What a claim costs where there is a crowd: no more than where there is nobody."""

from __future__ import annotations

import os

from oqkit.queue import key as keys
from oqkit.queue.cas import JOB
from tests.queue.faulty import cost

N = int(os.environ.get("OQ_CROWD_JOBS", "10000"))


def test_crowd_of_open_tasks_and_jobs_of_other_types_in_front_cost_a_claim_nothing(world):
    """200 jobs of other types are more urgent, and there are `N` open single tasks of the worker's own type: run it with 100,000."""
    repository, n = world.repository(), 100
    for number in range(200):
        world.submit(world.job(10**9 + number, type=f"other-{number % 7}", priority=255))
    for number in range(N):
        job = world.job(number)
        world.inner.create(keys.job_key(job.id, 1), JOB.dump(job))
        world.inner.create(repository.marker(job, due=world.now()).key, b"")
    worker = world.worker()
    world.clock.sleep(40.0)

    def run():
        while len(worker.ran) < n:
            worker.step()
            world.clock.sleep(0.05)

    requests = cost(world, run)
    assert requests["put"] <= 2 * n
    assert requests["get"] <= 2 * n
    assert requests["delete"] <= n
    assert requests["list"] <= 0.1 * n
