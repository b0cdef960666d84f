"""What looking for work and doing it costs, in requests, and how soon work is noticed."""

from __future__ import annotations

import pytest

from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.transition import Verb
from tests.queue.faulty import cost


def test_single_task_costs_what_the_budget_says(world):
    job = world.job()
    submit = cost(world, lambda: world.submit(job))
    assert submit["put"] <= 3  # with the bell
    assert set(submit) <= {"put"}
    worker = world.worker()
    world.clock.sleep(40.0)
    requests = cost(world, worker.step)
    assert requests["put"] <= 2
    assert requests["get"] <= 2
    assert requests["delete"] <= 1
    assert requests["list"] <= 1
    assert not world.markers()


def test_busy_worker_lists_once_for_ten_tasks_or_more(world):
    for n in range(200):
        world.submit(world.job(n))
    worker = world.worker()

    def run():
        while len(worker.ran) < 200:
            worker.step()
            world.clock.sleep(0.05)

    requests = cost(world, run)
    assert requests["put"] <= 2 * 200
    assert requests["get"] <= 2 * 200
    assert requests["delete"] <= 200
    assert requests["list"] <= 0.1 * 200


def test_one_part_costs_what_the_budget_says(world):
    n_parts = 50
    world.submit(world.job(n_tasks=10 * n_parts))
    worker = world.worker()

    def run():
        while (lease := worker.find()) is not None:
            lease.put_output(b"results")
            completed = Outcome(verb=Verb.COMPLETE, rows=lease.rows)
            lease.commit(Commit(outcomes=[completed], output=b"results", is_last=True))
            worker.claimer.ended(lease)

    requests = cost(world, run)
    assert requests["put"] == 3 * n_parts
    assert requests["get"] <= 3 + n_parts  # the inputs are another one for each
    assert requests["list"] <= 3
    assert world.markers() == []


@pytest.mark.parametrize("n_others", (0, 500))
def test_idle_poll_costs_one_request_however_many_jobs_wait_for_others(world, n_others):
    for n in range(n_others):
        world.submit(world.job(n, type="other"))
    worker = world.worker()
    worker.find()
    world.clock.sleep(5.0)

    def poll():
        for _ in range(10):
            worker.find()
            world.clock.sleep(1.0)

    poll()
    assert cost(world, poll).total() <= 12


@pytest.mark.parametrize("n_parts", (10, 900))
def test_poll_of_a_job_that_others_work_on_costs_the_same_for_any_number_of_parts(world, n_parts):
    world.submit(world.job(n_tasks=n_parts, part_rows=1))
    busy = world.worker("busy", lease_s=10_000.0)
    while busy.find() is not None:
        pass
    worker = world.worker("idle")
    costs = []
    for _ in range(10):
        costs.append(cost(world, worker.find).total())
        world.clock.sleep(max(0.7, worker.claimer.wait_s()))
    assert max(costs) <= 25


def test_wait_is_never_longer_than_the_poll_interval(world):
    worker = world.worker()
    worker.find()
    assert 0 <= worker.claimer.wait_s() <= 0.7 + 1e-9


def test_new_work_is_noticed_within_two_seconds(world):
    worker = world.worker()
    for _ in range(20):
        worker.find()
        world.clock.sleep(max(0.01, worker.claimer.wait_s()))
    world.submit(world.job())
    began = world.clock.time_s
    while not worker.step():
        world.clock.sleep(max(0.01, worker.claimer.wait_s()))
    assert world.clock.time_s - began <= 2.0
