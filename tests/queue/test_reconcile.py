"""Whoever waits for a job or watches it puts up its lost marker, and settles it when its time is over."""

from __future__ import annotations

import asyncio

import pytest

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.errors import Denied, WaitTimeout
from oqkit.limits import QueueLimits
from oqkit.queue import control
from oqkit.queue.commit import Commit
from oqkit.queue.ending import is_done
from oqkit.queue.key import parse_marker
from oqkit.queue.part import Policy
from oqkit.queue.reconcile import Reconciler, settle_job
from oqkit.queue.repository import open_repository
from oqkit.queue.submission import resume
from oqkit.queue.transition import Verb
from oqkit.queue.view import JobView
from oqkit.store.memory import MemoryStore
from tests.clock import FakeClock
from tests.queue.faulty import FaultyStore, cost

LIMITS = QueueLimits()


class Watcher:
    """Somebody who looks at a job every now and then."""

    def __init__(self, world, job, store=None):
        self.world = world
        self.repository = world.repository(store)
        self.view = JobView(self.repository, world.repository().read_job(job.id).doc)
        self.reconciler = Reconciler(self.repository)

    def watch(self, seconds, *, every_s=1.0):
        for _ in range(int(seconds / every_s)):
            self.world.clock.sleep(every_s)
            self.reconciler.look(self.view.refresh())


def lose_markers(world):
    for key in world.listed("open/"):
        world.inner.delete(key)


# --- lost markers -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_tasks", (1, 30))
def test_watched_job_gets_its_lost_marker_back(world, n_tasks):
    job = world.job(n_tasks=n_tasks)
    world.submit(job)
    before = world.listed("open/")
    lose_markers(world)
    Watcher(world, job).watch(2 * LIMITS.stalled_s)
    assert world.listed("open/") == before, "the same marker, whoever puts it up"


def test_watched_job_whose_last_worker_died_gets_its_lost_marker_back(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    world.worker("dead", lease_s=60.0).find()
    lose_markers(world)
    watcher = Watcher(world, job)
    watcher.watch(55.0)
    assert not world.listed("open/"), "somebody works on it"
    watcher.watch(5.0 + 2 * LIMITS.stalled_s)
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 30}


def test_watched_retry_whose_caller_died_gets_its_marker(world):
    job = world.job(n_tasks=30)
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(KeyboardInterrupt) if "open/" in key else None
    with pytest.raises(KeyboardInterrupt):
        control.retry(world.repository(store), job.id)
    Watcher(world, job).watch(2 * LIMITS.stalled_s)
    assert [parse_marker(key).gen for key in world.listed("open/")] == [2]
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 30}


def test_watched_job_that_is_paused_or_not_due_or_done_is_left_alone(world):
    jobs = [world.job(n, policy=Policy(not_before=world.now() + 9_000.0 if n == 1 else 0.0)) for n in range(3)]
    for job in jobs:
        world.submit(job)
    control.pause(world.repository(), jobs[0].id)
    world.worker().drain(until_s=30.0)
    for job in jobs:
        assert cost(world, lambda job=job: Watcher(world, job).watch(500.0))["put"] == 0


def test_watching_a_job_that_waits_for_a_worker_costs_little(world):
    job = world.job()
    world.submit(job)
    watcher = Watcher(world, job)
    assert cost(world, lambda: watcher.watch(1_000.0))["put"] <= 5 + 1_000.0 / LIMITS.stalled_longest_s
    assert len(world.listed("open/")) == 1


# --- attaching ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_started", (0, 1, 7))
def test_attaching_to_a_half_submitted_job_puts_up_its_marker_however_much_of_it_was_run(world, n_started):
    job = world.job(n_tasks=600, part_rows=100)
    world.submit(job)
    worker = world.worker(max_rows=21)
    for _ in range(n_started):
        worker.step()
    lose_markers(world)
    resume(world.repository(), job)
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 600}


def test_attaching_to_a_large_job_that_is_done_costs_few_requests_and_puts_up_no_marker(world):
    job = world.job(n_tasks=300, part_rows=1)
    world.submit(job)
    world.worker().drain()
    assert world.markers() == []
    sent = cost(world, lambda: resume(world.repository(), job))
    assert sent["get"] <= 16
    assert sent["put"] == 0
    assert is_done(world.repository(), job)


# --- time to live -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_tasks", (1, 30))
@pytest.mark.parametrize("is_paused", (False, True))
def test_watched_job_whose_time_is_over_expires_without_a_worker(world, n_tasks, is_paused):
    job = world.job(n_tasks=n_tasks, policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    if is_paused:
        control.pause(world.repository(), job.id)
    Watcher(world, job).watch(60.0)
    assert world.statuses(job) == {"expired": n_tasks}


def test_watching_does_not_touch_what_runs_or_was_put_back_by_hand(world):
    job = world.job(n_tasks=30, policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    lease = world.worker("slow", lease_s=600.0).find()
    watcher = Watcher(world, job)
    watcher.watch(60.0)
    assert world.statuses(job) == {"running": 10, "expired": 20}
    lease.commit(Commit())
    control.retry(world.repository(), job.id, statuses=control.RETRYABLE)
    watcher.watch(60.0)
    assert world.statuses(job) == {"running": 10, "pending": 20}


def test_somebody_who_may_only_read_watches_without_trouble(world):
    job = world.job(policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(Denied(key))
    watcher = Watcher(world, job, store)
    watcher.watch(50.0)
    sent = cost(world, lambda: watcher.watch(100.0))
    assert world.statuses(job) == {"pending": 1}
    assert sent["get"] <= 100 + 2, "and does not try again and again"


# --- as people meet it --------------------------------------------------------------------------


@pytest.fixture
def queue():
    store = MemoryStore(clock=FakeClock())
    return Queue(open_repository(store), Settings(url=store.url))


def test_wait_for_a_task_whose_time_is_over_comes_back_although_there_is_no_worker(queue):
    task = queue.submit("nobody", {"x": 1}, ttl=5)
    task.wait(60)
    assert task.status == "expired"
    job = queue.map("nobody", [1, 2, 3], ttl=5, part_rows=1)
    job.wait(60)
    assert job.counts()["expired"] == 3


def test_status_of_a_task_whose_time_is_over_is_written_when_it_is_asked_for(queue):
    task, job = queue.submit("nobody", {"x": 1}, ttl=5), queue.map("nobody", [1, 2], ttl=5)
    queue.repository.store.clock.sleep(6.0)
    assert task.status == "expired"
    assert job.done()
    assert job.status == "expired"


def test_wait_for_a_job_whose_marker_was_lost_puts_it_up(queue):
    job = queue.map("score", [1, 2, 3])
    store = queue.repository.store
    for entry in store.list("open/").entries:
        store.delete(entry.key)
    with pytest.raises(WaitTimeout):
        job.wait(30)
    assert len(store.list("open/").entries) == 1


def test_await_of_a_task_whose_time_is_over_comes_back():
    queue = oq.connect("memory://reconcile-await")
    task = queue.submit("nobody", {"x": 1}, ttl=0.3)

    async def main():
        await asyncio.wait_for(task._wait_async(), 30)

    asyncio.run(main())
    assert task.status == "expired"


def test_time_to_live_that_is_over_by_another_clock_alone_writes_nothing(world):
    """Seed 19153 of the simulation: the clock was set back between the refresh and the settling."""
    repository = world.repository()
    job = world.job(n_tasks=3, policy=Policy(expires_at=world.now() + 50.0))
    world.submit(job)
    control.pause(repository, job.id)
    control.resume(repository, job.id)
    job = repository.read_job(job.id).doc
    for key in world.listed(repository.keys_of(job).parts):
        world.inner.delete(key)
    settle_job(repository, job)
    assert world.listed(repository.keys_of(job).parts) == []
    world.clock.sleep(60.0)
    settle_job(repository, job)
    assert len(world.listed(repository.keys_of(job).parts)) == job.n_parts
