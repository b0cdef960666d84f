"""What a claim costs where there is a crowd: no more than where there is nobody."""

from __future__ import annotations

import pytest

from oqkit.limits import ClaimLimits
from oqkit.queue import key as keys
from oqkit.queue.cas import JOB
from tests.queue.faulty import cost


@pytest.mark.parametrize("n_open", (3_000, pytest.param(100_000, marks=pytest.mark.slow)))
def test_crowd_of_open_tasks_and_jobs_of_other_types_in_front_cost_a_claim_nothing(world, n_open):
    """200 jobs of other types are more urgent, and there are `n_open` open single tasks of the worker's own type."""
    repository, n = world.repository(), 100
    for number in range(200):
        world.submit(world.job(10**9 + number, type=f"other-{number % 7}", priority=255))
    for number in range(n_open):
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


def test_worker_that_comes_too_late_lists_what_is_left_and_does_not_try_each(world):
    for number in range(40):
        world.submit(world.job(number))
    late, other = world.worker("late"), world.worker("other")
    assert late.step()
    while other.step():
        pass
    other.claimer.sweep(at_once=True)
    requests = cost(world, lambda: [late.find() for _ in range(12)])
    assert requests["put"] <= ClaimLimits().find_jobs, "the ones it chose before it listed"
    assert requests["list"] == 1
    assert late.claimer.is_done()
