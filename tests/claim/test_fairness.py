"""Who comes first, and that nothing which cannot run now is in the way of what can."""

from __future__ import annotations

import pytest

from oqkit.limits import ClaimLimits, Limits
from oqkit.queue.job import Code
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Policy
from tests.queue.faulty import FaultyStore, World, cost


@pytest.mark.parametrize("n_jobs", (3000,))
def test_jobs_of_a_type_without_a_handler_here_do_not_block(world, n_jobs):
    repository = world.repository()
    for n in range(n_jobs):
        repository.put_marker(repository.marker(world.job(n, type="other", priority=255), due=world.now()))
    mine = world.job(n_jobs + 1, priority=0)
    world.submit(mine)
    worker = world.worker()
    requests = cost(world, worker.step)
    assert world.statuses(mine) == {"completed": 1}
    assert requests.total() < 15


def test_jobs_that_are_not_due_do_not_block(world):
    for n in range(1500):
        world.submit(world.job(n, priority=255, policy=Policy(not_before=world.now() + 5000.0)))
    mine = world.job(2000, priority=0)
    world.submit(mine)
    worker = world.worker()
    assert cost(world, worker.step).total() < 15
    assert world.statuses(mine) == {"completed": 1}


def test_jobs_that_this_worker_cannot_run_do_not_block(world):
    for n in range(200):
        world.submit(world.job(n, priority=255))
    mine = world.job(2000, priority=0)
    world.submit(mine)
    worker = world.worker(can_run=lambda job: job.id == mine.id)
    worker.drain(until_s=60.0)
    assert world.statuses(mine) == {"completed": 1}
    assert set(worker.ran) == {(mine.id, 0)}


def test_jobs_that_others_are_busy_with_do_not_block(world):
    for n in range(100):
        world.submit(world.job(n, priority=255))
    busy = world.worker("busy")
    n_busy = 0
    while n_busy < 100:
        n_busy += busy.find() is not None
        world.clock.sleep(0.01)
    mine = world.job(2000, priority=0)
    world.submit(mine)
    worker = world.worker()
    worker.drain(until_s=30.0)
    assert world.statuses(mine) == {"completed": 1}


def test_delayed_job_starts_when_it_is_due(world):
    job = world.job(policy=Policy(not_before=world.now() + 100.0))
    world.submit(job)
    assert parse_marker(world.markers()[0]).is_later
    worker = world.worker()
    began = world.clock.time_s
    while not worker.step():
        world.clock.sleep(max(0.01, worker.claimer.wait_s()))
    assert 99.99 <= world.clock.time_s - began < 101.0


def test_higher_priority_goes_first(world):
    for n, priority in enumerate((10, 200, 128, 255, 0)):
        world.submit(world.job(n, n_tasks=20, priority=priority))
    worker, seen = world.worker(), []
    while (lease := worker.find()) is not None:
        seen.append(lease.job.priority)
        worker.finish(lease)
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 10


def test_with_aging_a_low_job_overtakes_what_came_much_later_and_without_it_waits(world):
    low = world.job(0, priority=10)
    world.submit(low)
    world.clock.sleep(300.0)
    for n in range(1, 4):
        world.submit(world.job(n, priority=200))
    strict, aging = world.worker("strict"), world.worker("aging", aging_s=1.0)
    assert strict.find().job.priority == 200
    assert aging.find().job.id == low.id


def test_nothing_starves_behind_a_stream_of_urgent_jobs_when_priorities_age(world):
    """There is always something urgent to do; it waits for as many seconds as there are priorities above it."""
    world.submit(world.job(0, priority=0))
    worker = world.worker(aging_s=1.0)
    for n in range(1, 600):
        world.submit(world.job(n, priority=255))
        world.clock.sleep(1.0)
        worker.step()
        if worker.ran[world.job(0).id, 0]:
            break
    assert 255 < n < 300


def test_urgent_job_that_arrives_during_a_long_one_goes_next(world):
    world.submit(world.job(1, n_tasks=1000, part_rows=10))
    worker = world.worker()
    for _ in range(3):
        worker.step()
    world.clock.sleep(1.5)
    urgent = world.job(2, priority=255)
    world.submit(urgent)
    for _ in range(3):
        world.clock.sleep(1.0)
        worker.step()
    assert world.statuses(urgent) == {"completed": 1}


def test_urgent_job_whose_ring_was_left_out_goes_before_a_long_one_ends(world):
    """Rings are left out for a while after one; with work at hand it may take a minute until the next look."""
    submitter = world.repository()
    worker = world.worker()
    worker.find()
    world.submit(world.job(1, n_tasks=1000, part_rows=10), submitter)
    urgent = world.job(2, priority=255)
    world.clock.sleep(0.8)
    worker.step()
    assert worker.ran
    world.clock.sleep(0.1)
    world.submit(urgent, submitter)
    for _ in range(70):
        world.clock.sleep(1.0)
        worker.step()
    assert world.statuses(urgent) == {"completed": 1}


def test_urgent_job_whose_ring_failed_goes_before_a_long_one_ends(world):
    """The doorbell is never needed."""
    world.submit(world.job(1, n_tasks=1000, part_rows=10))
    worker = world.worker()
    for _ in range(5):
        worker.step()
        world.clock.sleep(1.0)
    urgent = world.job(2, priority=255)
    world.submit(urgent, world.repository(FaultyStore(world.inner, ("refuse",) * 5, only="bell")))
    for _ in range(70):
        world.clock.sleep(1.0)
        worker.step()
    assert world.statuses(urgent) == {"completed": 1}


def test_jobs_of_equal_priority_share_the_workers(world):
    jobs = [world.job(n, n_tasks=300, part_rows=10) for n in range(3)]
    for job in jobs:
        world.submit(job)
    worker = world.worker()
    for _ in range(45):
        worker.step()
    done = [world.statuses(job)["completed"] for job in jobs]
    assert sum(done) == 450
    assert all(50 <= n <= 250 for n in done), done


def test_old_small_job_is_not_starved_by_a_stream_of_new_ones(world):
    old = world.job(0)
    world.submit(old)
    worker = world.worker()
    for n in range(1, 200):
        world.submit(world.job(n))
        world.submit(world.job(1000 + n))
        world.clock.sleep(1.0)
        worker.step()
        if world.statuses(old) == {"completed": 1}:
            break
    assert world.statuses(old) == {"completed": 1}


@pytest.mark.parametrize("shards", (1, 4))
def test_every_shard_is_looked_at(shards):
    world = World(shards=shards)
    jobs = [world.job(n) for n in range(20)]
    for job in jobs:
        world.submit(job)
    worker = world.worker()
    worker.drain()
    assert len(worker.ran) == 20
    assert world.markers() == []


def test_more_jobs_than_a_listing_holds_are_all_run():
    world = World(limits=Limits(claim=ClaimLimits(page_markers=100)))
    for n in range(230):
        world.submit(world.job(n))
    worker = world.worker()
    worker.drain()
    assert len(worker.ran) == 230
    assert world.markers() == []


@pytest.mark.parametrize(("n_jobs", "is_complete"), ((1000, True), (1001, False)))
def test_listing_says_whether_it_saw_everything(world, n_jobs, is_complete):
    repository = world.repository()
    for n in range(n_jobs):
        repository.put_marker(repository.marker(world.job(n), due=world.now()))
    assert world.worker().claimer.discovery.look().is_complete == is_complete


def test_worker_that_trusts_code_runs_every_topic(world):
    world.submit(world.job(1, type="a"))
    world.submit(world.job(2, type="b", code=Code(digest="d" * 64)))
    plain, trusting = world.worker(types=("code", "c")), world.worker(everything=True)
    plain.drain(until_s=60.0)
    assert not plain.ran, "a task type called code gives no right to shipped code"
    trusting.drain(until_s=60.0)
    assert len(trusting.ran) == 2
