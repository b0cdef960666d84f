from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest

from oqkit.claim.finished import ALONE_S, TOGETHER_S
from oqkit.claim.poller import LIST_EVERY_S
from oqkit.errors import LeaseLost, Missing
from oqkit.queue import control
from oqkit.queue.job import Code
from oqkit.queue.key import parse_marker
from oqkit.queue.part import MAX_LEASES, Outcome
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import Crash, CrashingStore, FaultyStore, World, cost

NO_WAIT = Policy(backoff=Backoff(initial_s=0.0))


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
    first.commit([], release=Rows.span(1, 101), is_last=False)
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
        lease.commit([Outcome(verb=Verb.COMPLETE, rows=lease.rows)], is_last=True)
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
        lease.commit([], is_last=False)
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
    with pytest.raises(LeaseLost):
        paused.commit([Outcome(verb=Verb.COMPLETE, rows=Rows.span(0, 1))], has_output=True, is_last=True)
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


# --- who comes first ----------------------------------------------------------------------------


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


def test_more_jobs_than_a_listing_holds_are_all_run(world):
    for n in range(2300):
        world.submit(world.job(n))
    worker = world.worker()
    worker.drain()
    assert len(worker.ran) == 2300
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


# --- postponing ---------------------------------------------------------------------------------

PATIENT = Policy(retries=3, backoff=Backoff(initial_s=30.0, jitter=0.0))


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


POISON = b'{"format": 99, "by": "a newer oqkit"}'


@pytest.mark.parametrize("data", (POISON, b"not json", b"{}"))
def test_poison_job_is_left_alone_and_others_go_on(world, data, caplog):
    bad, good = world.job(1, priority=255), world.job(2)
    world.submit(bad)
    world.submit(good)
    key = next(key for key in world.listed("jobs/") if bad.id in key)
    world.inner.overwrite(key, data)
    world.worker().drain()
    assert world.statuses(good) == {"completed": 1}
    assert world.inner.read(key).data == data
    assert [one for one in world.markers() if bad.id in one]
    assert len([record for record in caplog.records if bad.id in record.message]) == 1, "reported once"


@pytest.mark.parametrize("n_tasks", (5, 35))
def test_poison_part_is_left_alone_and_others_go_on(world, n_tasks, caplog):
    job, other = world.job(1, n_tasks=n_tasks, priority=255), world.job(2)
    world.submit(job)
    world.submit(other)
    key = world.repository().keys_of(job).part(0)
    world.inner.overwrite(key, POISON)
    worker = world.worker()
    worker.drain()
    assert len(worker.ran) == n_tasks + 1 - min(10, n_tasks)
    assert world.inner.read(key).data == POISON
    assert [one for one in world.markers() if job.id in one], "the job is not over"
    assert len([record for record in caplog.records if key in record.message]) == 1, "reported once"


def test_strange_marker_is_left_alone_and_reported_once(world, caplog):
    for key in ("open/0000/type-score/ready/strange", "open/0000/type-score/ready/127-00000000000000-.1"):
        world.inner.overwrite(key, b"")
    job = world.job()
    world.submit(job)
    world.worker().drain()
    assert world.statuses(job) == {"completed": 1}
    assert len(world.markers()) == 2
    assert len(caplog.records) == 2, "each once"


def test_strange_object_among_the_parts_does_not_stop_a_worker(world):
    """Editors and synchronisers leave such files in a directory store."""
    job = world.job(n_tasks=30)
    world.submit(job)
    world.inner.overwrite(f"{world.repository().keys_of(job).parts}0000001.json~", b"")
    world.inner.overwrite(f"{world.repository().keys_of(job).parts}notes.txt", b"")
    world.worker().drain()
    assert world.statuses(job) == {"completed": 30}
    assert world.markers() == []


@pytest.mark.parametrize("is_deleted", (False, True))
def test_job_object_that_is_newer_or_gone_when_a_lease_ends_does_not_stop_its_worker(world, is_deleted):
    """The last commit shows a part with an order that the worker must read the job for."""
    job, other = world.job(1, n_tasks=10), world.job(2)
    world.submit(job)
    worker = world.worker(max_rows=5)
    lease = worker.find()
    control.cancel(world.repository(), job.id, rows=Rows.span(9, 10))
    (key,) = world.listed("jobs/")
    if is_deleted:
        world.inner.delete(key)
    else:
        world.inner.overwrite(key, POISON)
    worker.finish(lease)
    world.submit(other)
    worker.drain(until_s=100.0)
    assert world.statuses(other) == {"completed": 1}
    assert bool(world.markers()) == (not is_deleted)


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


# --- budgets ------------------------------------------------------------------------------------


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
            lease.commit([Outcome(verb=Verb.COMPLETE, rows=lease.rows)], has_output=True, is_last=True)
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


def test_counts_of_a_part_are_what_its_rows_are(world):
    job = world.job(n_tasks=10)
    world.submit(job)
    world.worker(max_rows=4).step(Verb.FAIL)
    (part,) = world.parts(job)
    assert part.counts()[Status.FAILED] == 4
    with pytest.raises(Missing):
        world.repository().read_job("nobody")


# --- clearing up --------------------------------------------------------------------------------


def open_markers(world):
    return len(world.listed("open/"))


def test_worker_that_is_alone_deletes_the_markers_of_a_while_together(world):
    store, together = FaultyStore(world.inner), []
    store.delete_many = lambda names: together.append(len(names)) or [world.inner.delete(name) for name in names]
    for n in range(5):
        world.submit(world.job(n))
    worker = world.worker(repository=world.repository(store))
    while worker.step():
        pass
    assert open_markers(world) == 5
    assert cost(world, worker.find).total() <= 2, "it knows those markers, and asks for nothing behind them"
    world.clock.sleep(TOGETHER_S)
    worker.find()
    assert open_markers(world) == 0
    assert together == [5]


def test_worker_that_met_another_deletes_each_marker_at_once(world):
    world.submit(world.job())
    worker, other = world.worker(), world.worker("other")
    lease = worker.find()
    assert other.find() is None, "it came too late"
    worker.finish(lease)
    world.clock.sleep(TOGETHER_S)
    worker.find()
    world.submit(world.job(1))
    world.clock.sleep(LIST_EVERY_S)
    assert other.step()
    assert open_markers(world) == 0
    world.clock.sleep(ALONE_S)
    world.submit(world.job(2))
    assert other.step()
    assert open_markers(world) == 1, "and forgets it after a while"


def test_worker_that_stops_leaves_no_marker_of_what_is_done(world):
    world.submit(world.job())
    worker = world.worker()
    assert worker.step()
    worker.claimer.sweep(at_once=True)
    assert open_markers(world) == 0
