"""Jobs that are to stay only for some time after their end are deleted by workers, and no others."""

from __future__ import annotations

from oqkit.errors import Denied
from oqkit.queue import control
from oqkit.queue.policy import Policy
from oqkit.queue.sweep import Sweep
from oqkit.queue.transition import Verb
from tests.queue.faulty import FaultyStore, World, cost
from tests.queue.test_deletion import ended, left_of
from tests.queue.test_sweep import search

DAY_S = 86_400.0
WEEK = Policy(keep_s=7 * DAY_S)


def test_job_goes_when_it_was_there_long_enough_after_its_end_and_others_stay():
    world = World()
    job, other = ended(world, 1, policy=WEEK), ended(world, 2)
    duty = search(world, 6.9 * DAY_S)
    assert left_of(world, job)
    search(world, 0.2 * DAY_S, duty)
    assert left_of(world, job) == []
    assert left_of(world, other)


def test_time_counts_from_the_end_and_not_from_the_submission():
    world = World()
    job = world.job(1, n_tasks=25, policy=WEEK)
    world.submit(job)
    duty = search(world, 10 * DAY_S)
    world.worker().drain()
    search(world, 6.9 * DAY_S, duty)
    assert left_of(world, job)
    search(world, 0.2 * DAY_S, duty)
    assert left_of(world, job) == []


def test_job_that_is_retried_when_its_time_is_over_stays_as_long_again():
    world = World()
    job = ended(world, 1, verb=Verb.FAIL, policy=WEEK)
    duty = search(world, 6.9 * DAY_S)
    control.retry(world.repository(), job.id)
    search(world, DAY_S, duty)
    world.worker().drain()
    search(world, 6.5 * DAY_S, duty)
    assert world.statuses(job) == {"completed": 25}
    search(world, DAY_S, duty)
    assert left_of(world, job) == []


def test_search_costs_nothing_more_where_no_job_has_such_a_time():
    world = World()
    ended(world, 1)
    duty = search(world, DAY_S)
    world.clock.sleep(1_000.0)
    assert cost(world, duty.perform) == {"get": 1, "list": 1, "put": 1}
    assert not world.listed("kept/")


def test_worker_that_may_not_delete_leaves_it_to_one_that_may():
    world = World()
    job = ended(world, 1, policy=WEEK)
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(Denied(key)) if key.startswith("jobs/") else None
    search(world, 7.2 * DAY_S, Sweep(world.repository(store)))
    assert left_of(world, job)
    search(world, 0.2 * DAY_S)
    assert left_of(world, job) == []
    assert not world.listed("kept/")
