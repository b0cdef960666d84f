"""Jobs, parts and markers that somebody deleted."""

from __future__ import annotations

import pytest

from oqkit.errors import LeaseLost
from tests.queue.faulty import PATIENT

# --- deleted, poisoned, cancelled ---------------------------------------------------------------


def delete_job(world, job):
    for key in world.listed():
        if job.id in key:
            world.inner.delete(key)


def test_job_deleted_before_a_worker_looked_is_taken_down(world):
    job = world.job()
    world.submit(job)
    world.inner.delete(world.listed("jobs/")[0])
    assert not world.worker().drain(until_s=60.0)
    assert world.markers() == []


def test_job_deleted_under_a_running_lease_loses_it(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    worker = world.worker()
    lease = worker.find()
    delete_job(world, job)
    with pytest.raises(LeaseLost):
        worker.finish(lease)
    worker.claimer.lost(lease)
    other = world.job(2)
    world.submit(other)
    worker.drain(until_s=120.0)
    assert world.statuses(other) == {"completed": 1}
    assert not [key for key in world.listed() if key.startswith(("jobs/", "open/")) and job.id in key]


def test_part_of_a_deleted_job_is_not_brought_back_to_life(world):
    """A worker that knew the part from before must not create it again."""
    job = world.job(n_tasks=10, policy=PATIENT)
    world.submit(job)
    worker = world.worker(max_rows=1)
    worker.step()
    delete_job(world, job)
    assert worker.find() is None
    assert not [key for key in world.listed("work/") if job.id in key]


# --- budgets ------------------------------------------------------------------------------------


def test_deleted_marker_of_a_job_is_the_only_thing_that_hides_it(world):
    job = world.job(n_tasks=3)
    world.submit(job)
    for key in world.markers():
        world.inner.delete(key)
    assert world.worker().find() is None
    repository = world.repository()
    repository.put_marker(repository.marker(job, due=world.now()))
    world.worker().drain()
    assert world.statuses(job) == {"completed": 3}
