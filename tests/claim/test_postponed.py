"""Work that is not due yet or paused costs nothing, and starts when its time has come."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from oqkit.queue import control
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.transition import Verb
from tests.queue.faulty import PATIENT, Crash, CrashingStore, FaultyStore, cost

# --- postponing ---------------------------------------------------------------------------------


def test_marker_of_a_single_part_that_waits_is_moved_out_of_the_way(world):
    job = world.job(policy=PATIENT)
    world.submit(job)
    worker = world.worker()
    worker.step(Verb.RETRY)
    (marker,) = map(parse_marker, world.markers())
    assert (marker.is_later, marker.due) == (True, pytest.approx(world.now() + 30.0))
    heir = world.worker("heir")
    assert heir.find() is None
    assert cost(world, heir.find).total() == 0
    world.clock.sleep(31.0)
    assert heir.step()
    assert world.statuses(job) == {"completed": 1}
    assert world.markers() == []


def test_marker_of_what_waits_beyond_its_time_to_live_lies_until_that_is_over(world):
    """Whoever has looked at it before and whoever has not: both write that it has expired, and take its marker down."""
    for n, name in enumerate(("w", "heir")):
        job = world.job(n, policy=replace(PATIENT, expires_at=world.now() + 20.0))
        world.submit(job)
        worker = world.worker()
        worker.step(Verb.RETRY)
        (marker,) = map(parse_marker, world.markers())
        assert (marker.is_later, marker.due) == (True, pytest.approx(job.policy.expires_at, abs=0.001))
        late = worker if name == "w" else world.worker(name)
        assert late.drain(until_s=25.0) == 0
        assert world.statuses(job) == {"expired": 1}
        assert world.markers() == []


def test_reopened_task_that_waits_is_due_after_the_time_to_live_of_its_job(world):
    job = world.job(policy=replace(PATIENT, expires_at=world.now() + 20.0))
    world.submit(job)
    worker = world.worker()
    worker.step(Verb.FAIL)
    control.retry(world.repository(), job.id)
    world.clock.sleep(2.0)
    worker.step(Verb.RETRY)
    (marker,) = map(parse_marker, world.markers())
    assert marker.due == pytest.approx(world.now() + 30.0)
    assert worker.drain() == 1
    assert world.statuses(job) == {"completed": 1}


def test_marker_is_not_moved_for_a_short_wait(world):
    world.submit(world.job(policy=Policy(backoff=Backoff(initial_s=1.0))))
    before = world.markers()
    world.worker().step(Verb.RETRY)
    assert world.markers() == before


def test_marker_is_not_moved_while_others_hold_rows(world):
    world.submit(world.job(n_tasks=2, policy=PATIENT))
    before = world.markers()
    world.worker("other", max_rows=1).find()
    world.worker(max_rows=1).step(Verb.RETRY)
    assert world.markers() == before


def test_postponed_job_that_is_cancelled_ends(world):
    job = world.job(policy=PATIENT)
    world.submit(job)
    worker = world.worker()
    worker.step(Verb.RETRY)
    control.cancel(world.repository(), job.id)
    worker.drain()
    assert world.statuses(job) == {"cancelled": 1}
    assert world.markers() == []


def test_postponing_leaves_the_marker_of_a_newer_generation(world):
    """A worker ends a lease by an old job, while an order for the job has just been written and marked."""
    job = world.job(n_tasks=2, policy=PATIENT)
    world.submit(job)
    worker = world.worker(max_rows=1)
    worker.finish(worker.find(), Verb.FAIL)
    lease = worker.find()
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(KeyboardInterrupt) if "parts/" in key else None
    with pytest.raises(KeyboardInterrupt):
        control.retry(world.repository(store), job.id)
    world.clock.sleep(2.0)
    worker.claimer._take_in(worker.claimer.discovery.look())
    worker.finish(lease, Verb.RETRY)
    assert 2 in {parse_marker(key).gen for key in world.markers()}
    heir = world.worker("heir")
    assert heir.step(), "the reopened row is due now"
    heir.drain()
    assert world.statuses(job) == {"completed": 2}


# --- paused --------------------------------------------------------------------------------------


def test_paused_job_is_not_started_until_it_is_resumed(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    worker = world.worker()
    worker.step()
    control.pause(world.repository(), job.id, reason="look at it first")
    world.clock.sleep(2.0)
    assert worker.drain(until_s=600.0) == 0
    assert world.statuses(job) == {"completed": 10, "pending": 20}
    control.resume(world.repository(), job.id)
    worker.drain()
    assert world.statuses(job) == {"completed": 30}
    assert world.markers() == []


@pytest.mark.parametrize("n_tasks", (1, 30))
def test_pause_ends_by_itself_at_its_time(world, n_tasks):
    job = world.job(n_tasks=n_tasks)
    world.submit(job)
    control.pause(world.repository(), job.id, until=world.now() + 100.0)
    worker = world.worker()
    assert worker.drain(until_s=95.0) == 0
    assert worker.drain() > 0
    assert world.statuses(job) == {"completed": n_tasks}
    assert world.markers() == []


def test_paused_job_costs_an_idle_worker_nothing(world):
    job = world.job(n_tasks=3000)
    world.submit(job)
    control.pause(world.repository(), job.id)
    worker = world.worker()
    assert worker.find() is None
    (marker,) = map(parse_marker, world.markers())
    assert (marker.is_later, marker.gen) == (True, 2)
    world.clock.sleep(2.0)
    assert worker.find() is None  # the bell rang, so it looks a second time
    world.clock.sleep(5.0)
    assert cost(world, lambda: (worker.find(), worker.find())).total() == 1, "the doorbell"


def test_running_lease_of_a_paused_job_is_committed_and_ends_the_job_if_it_was_the_last(world):
    job = world.job(n_tasks=10)
    world.submit(job)
    worker = world.worker()
    lease = worker.find()
    control.pause(world.repository(), job.id)
    world.clock.sleep(2.0)
    assert worker.find() is None
    worker.finish(lease)
    assert world.statuses(job) == {"completed": 10}
    assert world.markers() == []


def test_retry_leaves_a_job_paused_and_cancel_of_all_ends_it(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    worker = world.worker()
    worker.step(Verb.FAIL)
    control.pause(world.repository(), job.id)
    control.retry(world.repository(), job.id)
    world.clock.sleep(2.0)
    assert worker.drain(until_s=600.0) == 0
    assert world.statuses(job) == {"pending": 30}
    control.cancel(world.repository(), job.id)
    worker.drain()
    assert world.statuses(job) == {"cancelled": 30}
    assert world.markers() == []


@pytest.mark.parametrize("is_after", (False, True))
@pytest.mark.parametrize("at", range(6))
def test_caller_of_pause_or_resume_that_dies_anywhere_loses_no_task(world, at, is_after):
    job = world.job(n_tasks=30)
    world.submit(job)
    for order in (control.pause, control.resume):
        with suppress(Crash):
            order(world.repository(CrashingStore(world.inner, at=at, is_after=is_after)), job.id)
        world.worker("w").drain(until_s=60.0)
    control.resume(world.repository(), job.id)
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 30}
    assert world.markers() == []


def test_late_marker_of_a_resumed_job_is_not_taken_for_its_pause(world):
    """A worker that knows the pause only moves its marker while the job is resumed: the newer marker stays."""
    job = world.job(n_tasks=30)
    world.submit(job)
    control.pause(world.repository(), job.id)
    store = FaultyStore(world.inner)
    resumed = []

    def resume_first(verb, key):
        if verb == "delete" and "open/" in key and not resumed:
            resumed.append(key)
            control.resume(world.repository(), job.id)

    store.before_write = resume_first
    world.worker("slow", world.repository(store)).find()
    assert resumed
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 30}
