from __future__ import annotations

import random
import threading

import pytest

from oqkit.errors import FormatError, UsageError
from oqkit.limits import QueueLimits
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.key import parse_marker
from oqkit.queue.policy import Policy
from oqkit.queue.repository import Repository, Settings, open_repository
from oqkit.queue.submission import JOB_SCOPE, Submission, latest
from oqkit.store.memory import MemoryStore
from tests.queue.faulty import FaultyStore, cost


def named(world, name="report", generation=1, **more):
    return world.job(id=keys.keyed_job_id(JOB_SCOPE, name, generation), name=name, **more)


def submit(repository, job, data=(b"input",)):
    submission = Submission(repository, job)
    for one in data:
        submission.put_input(one)
    return submission.commit(job)


# --- one submission -----------------------------------------------------------------------------


def test_submission_writes_inputs_then_job_then_marker_then_bell(world):
    store, order = FaultyStore(world.inner), []
    store.before_write = lambda verb, key: order.append((verb, key.partition("/")[0]))
    submit(world.repository(store), world.job(n_tasks=30))
    assert order == [("create", "work"), ("create", "jobs"), ("create", "open"), ("overwrite", "bell")]


@pytest.mark.parametrize("n_tasks", (1, 10**9))
def test_submission_costs_the_same_for_any_number_of_rows(world, n_tasks):
    repository = world.repository()
    world.submit(world.job(1), repository)
    assert cost(world, lambda: submit(repository, world.job(2, n_tasks=n_tasks, part_rows=10_000))) == {"put": 3}


def test_single_task_costs_two_writes_and_a_hint_at_most_once_a_second(world):
    repository = world.repository()
    assert cost(world, lambda: submit(repository, world.job(1), ())) == {"put": 3}
    assert cost(world, lambda: submit(repository, world.job(2), ())) == {"put": 2}
    world.clock.sleep(1.01)
    assert cost(world, lambda: submit(repository, world.job(3), ())) == {"put": 3}


def test_job_without_tasks_has_no_marker(world):
    submitted = submit(world.repository(), world.job(n_tasks=0), ())
    assert submitted.is_new
    assert world.markers() == []


def test_marker_says_what_a_worker_needs_to_choose(world):
    job = world.job(7, type="score", priority=9)
    submit(world.repository(), job)
    marker = parse_marker(world.markers()[0])
    assert (marker.job, marker.gen, marker.priority, marker.topic) == (job.id, 1, 9, "type-score")
    assert marker.due <= world.now()
    assert not marker.is_later


def test_marker_of_a_delayed_job_is_later(world):
    due = world.now() + 500.0
    submit(world.repository(), world.job(policy=Policy(not_before=due)))
    marker = parse_marker(world.markers()[0])
    assert marker.is_later
    assert marker.due == pytest.approx(due, abs=0.002)


def test_inputs_are_named_by_number_and_content(world):
    job = world.job()
    submit(world.repository(), job, (b"one", b"two", b"one"))
    found = [key for key in world.listed("work/") if "/in-" in key]
    assert [world.inner.read(key).data for key in found] == [b"one", b"two", b"one"]


# --- jobs with a name ---------------------------------------------------------------------------


def test_second_submission_of_a_name_finds_the_first(world):
    first = submit(world.repository(), named(world))
    world.clock.sleep(5.0)
    second = submit(world.repository(), named(world), (b"other input",))
    assert (first.is_new, second.is_new) == (True, False)
    assert second.job == first.job
    assert len(world.listed("jobs/")) == 1


def test_inputs_of_the_submission_that_was_second_are_withdrawn(world):
    submit(world.repository(), named(world), (b"first",))
    before = world.listed("work/")
    world.clock.sleep(5.0)
    submit(world.repository(), named(world), (b"second", b"more"))
    assert world.listed("work/") == before


def test_inputs_in_the_same_folder_are_never_withdrawn(world):
    """Two submitters in the same millisecond write the same bytes to the same key."""
    submit(world.repository(), named(world), (b"same",))
    second = submit(world.repository(), named(world), (b"same",))
    assert not second.is_new
    assert [world.inner.read(key).data for key in world.listed("work/")] == [b"same"]


def test_concurrent_submissions_of_a_name_make_one_job(world):
    outcomes, barrier = [], threading.Barrier(8)
    repositories = [world.repository() for _ in range(8)]
    jobs = [named(world) for _ in repositories]

    def run(repository, job):
        barrier.wait()
        outcomes.append(submit(repository, job))

    threads = [threading.Thread(target=run, args=pair) for pair in zip(repositories, jobs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.is_new for one in outcomes) == [False] * 7 + [True]
    assert len({one.job.origin for one in outcomes}) == 1
    assert len(world.listed("jobs/")) == 1
    assert len(world.markers()) == 1


def test_half_submitted_job_is_completed_by_the_next_submission(world):
    first = submit(world.repository(), named(world, n_tasks=30))
    for key in world.markers():
        world.inner.delete(key)
    world.clock.sleep(3600.0)
    again = submit(world.repository(), named(world, n_tasks=30))
    assert (again.is_new, again.job) == (False, first.job)
    world.worker().drain()
    assert world.statuses(first.job) == {"completed": 30}


@pytest.mark.parametrize("n_tasks", (1, 30))
def test_finished_job_is_not_put_to_work_by_the_next_submission(world, n_tasks):
    submit(world.repository(), named(world, n_tasks=n_tasks))
    world.worker().drain()
    world.clock.sleep(60.0)
    submit(world.repository(), named(world, n_tasks=n_tasks))
    assert world.markers() == []


# --- generations --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", (*range(12), 63, 64, 100))
def test_latest_finds_the_newest_generation_in_few_reads(world, n):
    repository = world.repository()
    for generation in range(1, n + 1):
        repository.create_job(named(world, generation=generation))
    found = []
    requests = cost(world, lambda: found.append(latest(repository, JOB_SCOPE, "report")))
    ((number, job),) = found
    assert number == n
    assert (job.id if job else None) == (keys.keyed_job_id(JOB_SCOPE, "report", n) if n else None)
    assert requests["get"] <= 2 * n.bit_length() + 2


@pytest.mark.parametrize(("n", "known"), ((1, 1), (40, 40), (40, 39), (64, 3), (5, 6), (0, 9)))
def test_latest_starts_from_a_known_generation_even_if_that_is_gone(world, n, known):
    repository = world.repository()
    for generation in range(1, n + 1):
        repository.create_job(named(world, generation=generation))
    found = []
    requests = cost(world, lambda: found.append(latest(repository, JOB_SCOPE, "report", known=known)))
    ((number, job),) = found
    assert number == n
    assert (job.id if job else None) == (keys.keyed_job_id(JOB_SCOPE, "report", n) if n else None)
    assert requests["get"] <= (3 if n == known else 15)


def test_latest_keeps_names_and_scopes_apart(world):
    repository = world.repository()
    repository.create_job(named(world, "a"))
    assert latest(repository, JOB_SCOPE, "b") == (0, None)
    assert latest(repository, "task", "a") == (0, None)


# --- opening a queue ----------------------------------------------------------------------------


def test_queue_is_created_once_and_found_again():
    store = MemoryStore()
    assert open_repository(store, shards=4).settings == Settings(shards=4)
    assert open_repository(store).settings == Settings(shards=4)
    with pytest.raises(UsageError, match="4 shards"):
        open_repository(store, shards=2)


@pytest.mark.parametrize("shards", (0, -1, 4097, 10**400, 2.0, True, "16"))
def test_number_of_shards_that_cannot_be_is_refused(shards):
    store = MemoryStore()
    with pytest.raises(UsageError, match="shards"):
        open_repository(store, shards=shards)
    assert not store.list("").entries


def test_job_of_a_sharded_queue_is_found_in_its_shard():
    repository = Repository(MemoryStore(), Settings(shards=64), rng=random.Random(1))
    for n in range(50):
        job = Job(id=f"0{n:017d}", type="a", n_tasks=1, part_rows=1, created=1.0, origin="o", mode="value")
        repository.create_job(job)
        assert repository.read_job(job.id).doc.id == job.id


# --- telling the workers ------------------------------------------------------------------------


def written(store):
    order = []
    store.before_write = lambda verb, key: order.append(key.partition("/")[0])
    return order


def test_marker_and_bell_are_written_at_the_same_time_where_that_saves_waiting(world):
    store, rung = FaultyStore(world.inner), threading.Event()
    store.parallel = 2

    def before_write(_verb, key):
        if key == keys.BELL:
            rung.set()
        if key.startswith("open/"):
            assert rung.wait(10), "the bell waits for the marker"

    store.before_write = before_write
    submit(world.repository(store), world.job())


def test_bell_is_rung_again_after_a_marker_that_was_slow(world):
    store, rung = FaultyStore(world.inner), threading.Event()
    store.parallel, order = 2, []

    def before_write(_verb, key):
        order.append(key.partition("/")[0])
        if key == keys.BELL:
            rung.set()
        if key.startswith("open/"):
            assert rung.wait(10)
            world.clock.sleep(store.ring_s + QueueLimits().marker_late_s)

    store.before_write = before_write
    submit(world.repository(store), world.job())
    assert order.count("bell") == 2


def test_bell_that_was_left_out_is_rung_if_the_marker_took_until_it_was_due(world):
    store = FaultyStore(world.inner)
    repository, order = world.repository(store), written(store)
    submit(repository, world.job(1))
    world.clock.sleep(store.ring_s - 0.1)
    submit(repository, world.job(2))
    assert order.count("bell") == 1
    world.clock.sleep(0.2)
    submit(repository, world.job(3))
    assert order.count("bell") == 2


@pytest.mark.parametrize("target", (None, 7, ["x"], "../../../etc/passwd", "x" * 5_000, "\ud800", ""))
def test_name_that_stands_for_no_job_is_refused_and_no_object_of_that_name_asked_for(world, target):
    """Whoever can write the queue can write anything into what leads from one name to another job."""
    submit(world.repository(), named(world, n_tasks=0, input={"kind": "job", "job": target}), data=())
    before = world.inner.requests.snapshot()
    with pytest.raises(FormatError, match="the id of no job"):
        latest(world.repository(), JOB_SCOPE, "report")
    assert (world.inner.requests.snapshot() - before).total() == 1
