"""What is there to do is noticed in time: what falls due, what only the doorbell told of, and what lies in any shard."""

from __future__ import annotations

from collections import Counter

import pytest

from oqkit.claim.poller import Listing
from oqkit.limits import ClaimLimits, Limits, QueueLimits
from oqkit.queue.bell import News
from oqkit.queue.control import _enter
from oqkit.queue.job import ControlVerb
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Policy
from tests.queue.faulty import FaultyStore, World, WrappedStore, cost

LIMITS = ClaimLimits()
PROMISED_S = 2.0


class QuickStore(WrappedStore):
    """Paced as a directory is."""

    poll_s = 0.03
    ring_s = 0.0


def quick_worker(world, name="w"):
    """A worker on a quick store that has looked at everything."""
    worker = world.worker(name, world.repository(QuickStore(world.inner)))
    pass_time(world, [worker], LIMITS.list_every_s / 2)
    return worker


def pass_time(world, workers, seconds, *, until=lambda: False):
    """Let workers do what they find, until the time is over; return how long it took."""
    start = world.clock.time_s
    while world.clock.time_s - start < seconds and not until():
        if not sum(worker.step() for worker in workers):
            world.clock.sleep(max(0.01, min(worker.claimer.wait_s() for worker in workers)))
    return world.clock.time_s - start


def ring_first(world, job):
    """Do half a submission: the job is stored and the doorbell has rung, but there is no marker."""
    repository = world.repository()
    repository.create_job(job)
    marker = repository.marker(job, due=max(job.policy.not_before, job.created))
    repository.ring(News(marker=marker, job=job))
    return marker


# --- what only the doorbell told of -------------------------------------------------------------


@pytest.mark.parametrize("is_listed_first", (True, False))
def test_marker_stays_until_the_one_is_there_that_only_the_doorbell_told_of(world, is_listed_first):
    """Whoever gave an order died between the doorbell and the marker, and a worker took down the only one that there was."""
    job, repository = world.job(1, policy=Policy(not_before=world.now() + 100.0)), world.repository()
    world.submit(job)
    (before,) = world.markers()
    ordered, _ = _enter(repository, job.id, ControlVerb.REPRIORITIZE, priority=200)
    marker = repository.marker(ordered, due=job.policy.not_before)
    shown = Listing(markers=(parse_marker(before),), is_complete=False)
    told = [shown, Listing(markers=(marker,), is_complete=False, job=ordered)]
    worker = world.worker()
    for listing in told if is_listed_first else reversed(told):
        worker.claimer._take_in(listing)
    assert worker.claimer._claim_in(worker.claimer._cursors[job.id]) is None
    assert marker.key in world.markers()


@pytest.mark.parametrize("marker_s", (0.0, 0.1, 0.45))
def test_delayed_job_starts_when_due_although_the_bell_was_read_before_its_marker_was_there(world, marker_s):
    worker = quick_worker(world)
    job = world.job(1, policy=Policy(not_before=world.now() + 1.5))
    marker = ring_first(world, job)
    pass_time(world, [worker], marker_s)
    world.repository().put_marker(marker)
    pass_time(world, [worker], 60.0, until=lambda: worker.ran)
    assert -0.001 <= world.now() - job.policy.not_before <= 0.2
    assert world.markers() == []


def test_many_delayed_jobs_each_start_when_they_are_due(world):
    worker, late, began = quick_worker(world), {}, world.now()
    jobs = [world.job(n, policy=Policy(not_before=began + 1.5 + n * 0.01)) for n in range(50)]
    for job in jobs:
        ring_first(world, job)
        pass_time(world, [worker], 0.02)
        repository = world.repository()
        repository.put_marker(repository.marker(job, due=job.policy.not_before))
    while len(worker.ran) < 50 and world.now() < began + 40.0:
        pass_time(world, [worker], 0.05)
        late.update({job: world.now() for job, _ in worker.ran if job not in late})
    assert max(late[job.id] - job.policy.not_before for job in jobs) <= PROMISED_S


@pytest.mark.parametrize("delay_s", (0.0, 20.0))
def test_job_whose_submitter_died_before_the_marker_gets_one_from_whoever_heard_of_it(world, delay_s):
    worker = quick_worker(world)
    job = world.job(1, n_tasks=30, policy=Policy(not_before=world.now() + delay_s if delay_s else 0.0))
    ring_first(world, job)
    lease = worker.find()
    assert (lease is None) == bool(delay_s)
    while worker.find() is not None:
        pass  # the other parts too, so that nothing is left to claim
    for _ in range(60):
        world.clock.sleep(0.05)
        worker.find()
    assert [parse_marker(key).job for key in world.listed("open/")] == [job.id], "others find it too"
    world.workers.clear()  # the worker dies
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 30}


def test_job_that_another_worker_ended_is_forgotten_and_gets_no_marker(world):
    quick, other = quick_worker(world), world.worker("other")
    job = world.job(1)
    marker = ring_first(world, job)
    assert quick.claimer.discovery.is_due(has_work=False)
    quick.claimer._take_in(quick.claimer.discovery.look())
    assert not quick.claimer.is_done(), "it heard of it"
    world.repository().put_marker(marker)
    pass_time(world, [other], 60.0, until=lambda: other.ran)
    other.claimer.sweep(at_once=True)
    world.clock.sleep(1.0)
    sent = cost(world, lambda: pass_time(world, [quick], 5.0))
    assert sent["put"] <= 1, "a claim that comes too late"
    assert quick.claimer.is_done()
    assert world.listed("open/") == []


def test_job_that_this_worker_cannot_run_is_forgotten_if_there_is_no_marker(world):
    worker = world.worker("w", world.repository(QuickStore(world.inner)), can_run=lambda job: False)
    pass_time(world, [worker], 15.0)
    ring_first(world, world.job(1))
    pass_time(world, [worker], 5.0)
    assert not worker.claimer._cursors


def test_marker_that_cannot_be_put_up_now_does_not_cost_the_rest_of_a_listing(world):
    store = FaultyStore(world.inner)
    store.poll_s, store.ring_s = QuickStore.poll_s, QuickStore.ring_s
    repository = world.repository(store, limits=Limits(queue=QueueLimits(patience_s=0.0)))
    worker = world.worker("w", repository)
    pass_time(world, [worker], 15.0)
    ring_first(world, world.job(1, policy=Policy(not_before=world.now() + 20.0)))
    world.repository().put_marker(world.repository().marker(world.job(2), due=world.now()))
    world.repository().create_job(world.job(2))
    store.script, store.only = ["refuse"] * 50, "open/"
    assert pass_time(world, [worker], 5.0, until=lambda: worker.ran) < PROMISED_S


# --- more than one shard ------------------------------------------------------------------------


@pytest.mark.parametrize("shards", (1, 4, 16, 64))
def test_tasks_of_all_shards_are_found_by_a_worker_that_comes_later(shards):
    world = World(shards=shards)
    for n in range(20):
        world.submit(world.job(n))
    world.clock.sleep(11.0)
    worker = world.worker()
    requests = cost(world, lambda: pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 20))
    assert world.clock.time_s - 1011.0 <= PROMISED_S
    assert requests["list"] <= 3


@pytest.mark.parametrize("shards", (1, 4, 16, 64))
def test_new_task_in_any_shard_is_noticed_whether_its_bell_rings_or_not(shards):
    world = World(shards=shards)
    worker, submitter = world.worker(), world.repository()
    pass_time(world, [worker], 100.0)
    for n in range(40):
        world.submit(world.job(n), submitter)  # all but the first within the second after its ring
    assert pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 40) <= PROMISED_S
    deaf = world.repository(FaultyStore(world.inner, ("refuse",) * 100, only="bell"))
    for n in range(40, 60):
        world.submit(world.job(n), deaf)
    assert pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 60) <= LIMITS.list_every_s + PROMISED_S


@pytest.mark.parametrize("shards", (1, 4, 16, 64))
def test_tasks_of_a_crashed_worker_are_taken_over_in_any_shard(shards):
    world = World(shards=shards)
    for n in range(12):
        world.submit(world.job(n))
    crashed, heir = world.worker("crashed"), world.worker("heir")
    n_held = 0
    while n_held < 12:
        n_held += crashed.find() is not None
        world.clock.sleep(0.05)
    took_s = pass_time(world, [heir], 600.0, until=lambda: len(heir.ran) == 12)
    assert took_s <= crashed.claimer._lease_s + PROMISED_S + 16 * 0.7, "the longest wait of a job that others work on"


@pytest.mark.parametrize("shards", (4, 16, 64, 4096))
def test_crowded_queue_of_many_shards_is_walked_through_in_few_requests_a_look(shards):
    world = World(shards=shards)
    repository = world.repository()
    for n in range(4_500):
        repository.put_marker(repository.marker(world.job(n, type="other", priority=255), due=world.now()))
    mine = [world.job(10_000 + n, priority=0) for n in range(20)]
    for job in mine:
        world.submit(job)
    worker, looks = world.worker(), []
    go_on = worker.claimer.discovery._walk.go_on

    def counted():
        found = []
        requests = cost(world, lambda: found.append(go_on()))
        looks.append(requests["list"])
        return found[0]

    worker.claimer.discovery._walk = Counted(worker.claimer.discovery._walk, counted)
    took_s = pass_time(world, [worker], 600.0, until=lambda: len(worker.ran) == 20)
    assert max(looks) <= LIMITS.look_pages + LIMITS.look_folders
    assert sum(looks) <= 2 * (4_520 // LIMITS.page_markers + 1) + 4 * min(shards, 5)
    assert took_s <= 3 * PROMISED_S


class Counted:
    """A walk whose steps are counted."""

    def __init__(self, walk, go_on):
        self._inner = walk
        self.go_on = go_on

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("shards", (1, 16))
def test_idle_worker_beside_a_crowd_of_others_jobs_does_not_list_without_end(shards):
    world = World(shards=shards)
    repository = world.repository()
    for n in range(3_000):
        repository.put_marker(repository.marker(world.job(n, type="other"), due=world.now()))
    worker = world.worker()
    pass_time(world, [worker], 30.0)
    requests = cost(world, lambda: pass_time(world, [worker], 300.0))
    assert requests["list"] <= (300.0 / LIMITS.list_every_s + 1) * 5


def test_more_jobs_that_fall_due_at_once_than_are_listed_ahead_all_start_in_time():
    """Of a crowd that is not due only the first are listed: the others must be by the time they are due."""
    world = World(limits=Limits(claim=ClaimLimits(page_markers=100)))
    n_jobs, began = 250, world.now()
    for n in range(n_jobs):
        job = world.job(n, policy=Policy(not_before=began + 5.0 + n / 100))
        world.repository().create_job(job)
        world.repository().put_marker(world.repository().marker(job, due=job.policy.not_before))
    worker, late = world.worker(), Counter()
    while len(worker.ran) < n_jobs and world.now() < began + 60.0:
        if worker.step():
            (job_id, _), *_ = reversed(worker.ran)
            late[job_id] = world.now() - (began + 5.0 + int(job_id) / 100)
        else:
            world.clock.sleep(max(0.001, min(0.1, worker.claimer.wait_s())))
    assert len(late) == n_jobs
    assert max(late.values()) <= PROMISED_S
