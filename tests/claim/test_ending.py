"""How a job ends, who takes its marker down, and that it can be put to work again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oqkit.errors import LeaseLost
from oqkit.queue import control
from oqkit.queue.job import Code
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Policy
from oqkit.queue.transition import Verb
from tests.queue.faulty import NO_WAIT, FaultyStore


def test_job_cancelled_while_running_stops(world):
    job = world.job(n_tasks=40)
    world.submit(job)
    worker = world.worker(max_rows=5)
    lease = worker.find()
    control.cancel(world.repository(), job.id)
    assert world.statuses(job) == {"cancelled": 40}
    with pytest.raises(LeaseLost):
        worker.finish(lease)
    worker.claimer.lost(lease)
    worker.drain()
    assert world.statuses(job) == {"cancelled": 40}
    assert world.markers() == []


def test_rows_of_an_expired_job_are_written_as_expired_and_its_marker_goes(world):
    job = world.job(n_tasks=200, policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    worker = world.worker()
    worker.step()
    world.clock.sleep(60.0)
    began = world.clock.time_s
    worker.drain()
    assert world.statuses(job) == {"completed": 10, "expired": 190}
    assert world.markers() == []
    assert world.clock.time_s - began < 400.0


def test_many_parts_that_expired_are_settled_in_seconds_not_hours(world):
    job = world.job(n_tasks=300, part_rows=1, policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    world.clock.sleep(60.0)
    worker, began = world.worker(), world.clock.time_s
    while world.markers() and world.clock.time_s - began < 3600:
        worker.step()
        world.clock.sleep(max(0.01, worker.claimer.wait_s()))
    assert world.statuses(job) == {"expired": 300}
    assert world.clock.time_s - began < 60.0


def test_finaliser_with_old_knowledge_leaves_the_marker_of_a_late_reopener(world):
    """The trap: it saw every part final, then the job is put to work again, then it clears up."""
    job = world.job(n_tasks=20, policy=NO_WAIT)
    world.submit(job)
    store = FaultyStore(world.inner)
    finaliser = world.worker("finaliser", repository=world.repository(store))

    def reopened_just_before(verb, key):
        if verb == "delete" and key.startswith("open/"):
            store.before_write = None
            control.retry(world.repository(), job.id)

    store.before_write = reopened_just_before
    while finaliser.step(Verb.FAIL):
        pass
    finaliser.claimer.sweep(at_once=True)
    assert store.before_write is None, "the finaliser came to clear up"
    assert [parse_marker(key).gen for key in world.markers()] == [2]
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 20}
    assert world.markers() == []


def test_finaliser_that_has_seen_the_newer_marker_leaves_it(world):
    """It lists the marker of an order that no part shows yet, and then ends the last lease by the old job."""
    job = world.job(n_tasks=20, policy=NO_WAIT)
    world.submit(job)
    worker = world.worker()
    worker.step(Verb.FAIL)
    lease = worker.find()
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(KeyboardInterrupt) if "/parts/" in key else None
    with pytest.raises(KeyboardInterrupt):
        control.retry(world.repository(store), job.id)
    worker.claimer._take_in(worker.claimer.discovery.look())
    worker.finish(lease, Verb.FAIL)
    assert [parse_marker(key).gen for key in world.markers()] == [2]
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 20}
    assert world.markers() == []


@pytest.mark.parametrize("n_tasks", (1, 20))
def test_retried_job_is_run_again_by_the_worker_that_ended_it(world, n_tasks):
    job = world.job(n_tasks=n_tasks, policy=NO_WAIT)
    world.submit(job)
    worker = world.worker()
    worker.drain(verb=Verb.FAIL)
    for generation in range(2, 5):
        control.retry(world.repository(), job.id)
        worker.drain(verb=Verb.FAIL)
        assert world.statuses(job) == {"failed": n_tasks}
        assert {part.gen for part in world.parts(job)} == {generation}
    control.retry(world.repository(), job.id)
    worker.drain()
    assert world.statuses(job) == {"completed": n_tasks}
    assert world.markers() == []


def test_worker_that_knows_an_old_job_does_not_claim_in_a_part_with_a_newer_order(world):
    """It might run the rows with the function that was replaced."""
    job = world.job(n_tasks=20, policy=NO_WAIT)
    world.submit(job)
    worker = world.worker(max_rows=5)
    worker.step(Verb.FAIL)
    control.retry(world.repository(), job.id, code=Code(reference="new:function"))
    seen = []
    while (lease := worker.find()) is not None:
        if lease.part.gen > 1:
            seen.append(lease.job.code.reference)
        worker.finish(lease)
    assert seen
    assert set(seen) == {"new:function"}
    worker.drain()
    assert world.statuses(job) == {"completed": 20}


@pytest.mark.parametrize("until_s", (None, 3600.0))
@pytest.mark.parametrize("n_tasks", (1, 40))
def test_paused_job_expires_when_its_time_is_over_and_its_marker_goes(world, n_tasks, until_s):
    job = world.job(n_tasks=n_tasks, policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    control.pause(world.repository(), job.id, until=None if until_s is None else world.now() + until_s)
    worker = world.worker()
    worker.drain(until_s=45.0)
    assert world.statuses(job) == {"pending": n_tasks}
    worker.drain(until_s=15.0)
    assert world.statuses(job) == {"expired": n_tasks}
    assert world.markers() == []
    assert worker.claimer.is_done()


def test_tasks_that_were_retried_wait_for_the_end_of_a_pause_and_do_not_expire(world):
    job = world.job(n_tasks=20, policy=replace(NO_WAIT, expires_at=world.now() + 50.0))
    world.submit(job)
    worker = world.worker()
    while worker.step(Verb.FAIL):
        pass
    control.retry(world.repository(), job.id)
    control.pause(world.repository(), job.id)
    worker.drain(until_s=600.0)
    assert world.statuses(job) == {"pending": 20}
    control.resume(world.repository(), job.id)
    worker.drain()
    assert world.statuses(job) == {"completed": 20}
    assert world.markers() == []


@pytest.mark.parametrize("is_seen", (True, False))
@pytest.mark.parametrize("n_tasks", (1, 40))
def test_marker_of_a_job_that_ends_while_it_is_paused_for_good_goes(world, n_tasks, is_seen):
    """What was claimed before goes on; the marker says that there is work again in the year 2200."""
    job = world.job(n_tasks=n_tasks, part_rows=40)
    world.submit(job)
    worker = world.worker()
    lease = worker.find()
    control.pause(world.repository(), job.id)
    if is_seen:
        worker.claimer._take_in(worker.claimer.discovery.look())
    worker.finish(lease)
    worker.drain(until_s=600.0)
    assert world.statuses(job) == {"completed": n_tasks}
    assert world.markers() == []


def test_markers_of_orders_in_a_pause_for_good_go_although_no_listing_has_shown_them(world):
    """One of them was left over for ever: it is due in the year 2200, and lay beyond the page that a worker reads."""
    job, other = world.job(1, n_tasks=3), world.job(2)
    world.submit(job)
    worker = world.worker()
    lease = worker.find()
    world.submit(other)
    for one in (job, other):
        control.pause(world.repository(), one.id)
    control.reprioritize(world.repository(), job.id, 7)
    control.resume(world.repository(), job.id)
    worker.finish(lease)
    worker.step()
    worker.claimer.finished.perform()
    assert not [marker for marker in world.markers() if job.id in marker and "/07258118400000-" in marker]
    assert [marker for marker in world.markers() if other.id in marker]
