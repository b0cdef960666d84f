"""Workers share a job, take over what the dead left, and leave no marker behind."""

from __future__ import annotations

from collections import Counter

import pytest

from oqkit.errors import LeaseLost, Missing
from oqkit.limits import QueueLimits
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb

MAX_LEASES = QueueLimits().max_leases

# --- draining -----------------------------------------------------------------------------------


def test_one_worker_drains_jobs_of_many_parts(world):
    jobs = [world.job(n, n_tasks=n_tasks) for n, n_tasks in enumerate((1, 10, 11, 95, 300))]
    for job in jobs:
        world.submit(job)
    worker = world.worker()
    worker.drain()
    for job in jobs:
        assert world.statuses(job) == {"completed": job.n_tasks}
    assert set(worker.ran.values()) == {1}
    assert world.markers() == []


def test_job_of_more_parts_than_a_listing_holds_is_drained(world):
    job = world.job(n_tasks=2500, part_rows=1)
    world.submit(job)
    world.worker().drain()
    assert world.statuses(job) == {"completed": 2500}
    assert world.markers() == []


def test_workers_share_a_job_and_each_row_runs_once(world):
    job = world.job(n_tasks=400)
    world.submit(job)
    workers = [world.worker(f"w{n}", max_rows=3) for n in range(4)]
    while world.statuses(job) != {"completed": 400}:
        assert world.clock.time_s < 2000.0
        for worker in workers:
            worker.step()
        world.clock.sleep(0.1)
    ran = sum((worker.ran for worker in workers), Counter())
    assert world.statuses(job) == {"completed": 400}
    assert set(ran.values()) == {1}
    assert all(len(worker.ran) > 40 for worker in workers)


def test_many_workers_hold_leases_of_one_part_at_once(world):
    world.submit(world.job(n_tasks=100, part_rows=100))
    leases = [world.worker(f"w{n}", max_rows=1).find() for n in range(MAX_LEASES + 2)]
    held = [lease.rows for lease in leases if lease is not None]
    assert len(held) == len(set(held)) == MAX_LEASES


def test_rows_that_were_handed_back_are_shared_equally(world):
    world.submit(world.job(n_tasks=101, part_rows=101))
    crew = [world.worker(f"w{n}", lease_rows=lambda job: (1, None)) for n in range(MAX_LEASES)]
    first = crew[0].find()
    assert first.rows == Rows.span(0, 101), "nobody knows yet that the rows are slow"
    first.commit(Commit(release=Rows.span(1, 101)))
    assert sorted(len(worker.find().rows) for worker in crew[1:]) == [14] * 5 + [15] * 2


def test_last_parts_are_shared_by_those_who_know_the_pace(world):
    world.submit(world.job(n_tasks=1000, part_rows=100))
    worker = world.worker(lease_rows=lambda job: (5, 60))
    leases = [len(worker.find().rows) for _ in range(12)]
    assert leases[:2] == [60, 60], "there are parts enough for everybody"
    assert set(leases[2:]) <= {*range(5, 14)}, "an eighth, but not less than is worth a lease"


def test_lease_of_a_dead_worker_is_taken_over_on_the_ordinary_path(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    dead = world.worker("dead")
    lease = dead.find()
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 30}
    with pytest.raises(LeaseLost):
        lease.commit(Commit(outcomes=[Outcome(verb=Verb.COMPLETE, rows=lease.rows)], is_last=True))
    dead.claimer.lost(lease)
    dead.drain()
    assert world.markers() == []


def test_takeover_waits_for_the_lease_to_run_out_and_not_much_longer(world):
    world.submit(world.job())
    world.worker("dead").find()
    heir = world.worker("heir")
    began = world.clock.time_s
    while (lease := heir.find()) is None:
        world.clock.sleep(max(0.01, heir.claimer.wait_s()))
    assert 60.0 <= world.clock.time_s - began < 80.0
    assert lease.attempts() == ((Rows.span(0, 1), 1),), "a lost lease uses no attempt"


def test_extended_lease_is_not_taken_over(world):
    world.submit(world.job())
    lease, heir = world.worker("slow").find(), world.worker("heir")
    for _ in range(10):
        world.clock.sleep(30.0)
        lease.commit(Commit())
        assert heir.find() is None
    assert lease.expires == pytest.approx(world.now() + 60.0)


def test_fenced_worker_does_not_stop_the_heir(world):
    job = world.job()
    world.submit(job)
    paused = world.worker("paused").find()
    world.clock.sleep(70.0)
    heir = world.worker("heir")
    world.clock.sleep(5.0)
    lease = heir.find()
    if lease is None:  # the back-off after the loss
        world.clock.sleep(10.0)
        lease = heir.find()
    paused.put_output(b"late")
    late = Commit(outcomes=[Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 1))], output=b"late", is_last=True)
    with pytest.raises(LeaseLost):
        paused.commit(late)
    heir.finish(lease)
    (part,) = world.parts(job)
    assert {task.output for task in part.states} == {f"{lease.id}.1"}


def test_failing_tasks_are_tried_again_after_their_backoff(world):
    job = world.job(n_tasks=3, policy=Policy(retries=2, backoff=Backoff(initial_s=20.0, jitter=0.0)))
    world.submit(job)
    worker, times = world.worker(), []
    while not world.parts(job)[0].is_final:
        if (lease := worker.find()) is not None:
            times.append(world.clock.time_s)
            worker.finish(lease, Verb.RETRY)
        else:
            world.clock.sleep(max(0.01, worker.claimer.wait_s()))
    assert world.statuses(job) == {"failed": 3}
    assert len(times) == 3
    assert 19.99 <= times[1] - times[0] < 25
    assert 39.99 <= times[2] - times[1] < 45


# --- budgets ------------------------------------------------------------------------------------


def test_counts_of_a_part_are_what_its_rows_are(world):
    job = world.job(n_tasks=10)
    world.submit(job)
    world.worker(max_rows=4).step(Verb.FAIL)
    (part,) = world.parts(job)
    assert part.counts()[Status.FAILED] == 4
    with pytest.raises(Missing):
        world.repository().read_job("nobody")
