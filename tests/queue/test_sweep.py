"""Jobs that no worker knows of are found again, by one step now and then of whichever worker is there."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial

import pytest

from oqkit.errors import Denied
from oqkit.limits import Limits, QueueLimits
from oqkit.queue import control
from oqkit.queue.dependency import OnFailure, Parent
from oqkit.queue.key import SWEEP, keyed_job_id, parse_marker
from oqkit.queue.part import Policy
from oqkit.queue.reconcile import newest_generations
from oqkit.queue.release import begin
from oqkit.queue.rows import Rows
from oqkit.queue.sweep import Sweep
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import Crash, CrashingStore, FaultyStore, World, cost

TEN_MINUTES_S = 600.0
LIMITS = QueueLimits()


def lose_markers(world):
    for key in world.listed("open/"):
        world.inner.delete(key)


def search(world, seconds, duty=None):
    """Let time pass beside a worker that does nothing but search; return the duty."""
    duty = duty or Sweep(world.repository())
    end = world.clock.time_s + seconds
    while world.clock.time_s + duty.wait_s() <= end:
        world.clock.sleep(duty.wait_s())
        duty.perform()
    world.clock.sleep(end - world.clock.time_s)
    return duty


def marked(world):
    return {parse_marker(key).job for key in world.listed("open/")}


def generations(world):
    return newest_generations(map(parse_marker, world.listed("open/")))


# --- what is found ------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", (1, 16))
@pytest.mark.parametrize("n_tasks", (1, 30))
def test_job_without_a_marker_is_found_within_ten_minutes(n_tasks, shards):
    world = World(shards=shards)
    duty = search(world, 1_000.0)
    job = world.job(1, n_tasks=n_tasks)
    world.submit(job)
    lose_markers(world)
    search(world, TEN_MINUTES_S, duty)
    assert marked(world) == {job.id}
    world.worker().drain()
    assert world.statuses(job) == {"completed": n_tasks}


def test_job_that_was_started_from_the_bell_and_lost_its_submitter_is_found(world):
    """The marker was refused, the bell landed, a worker ran some of it."""
    duty = search(world, 1_000.0)
    job = world.job(1, n_tasks=600, part_rows=100)
    world.submit(job)
    world.worker(max_rows=21).step()
    lose_markers(world)
    search(world, TEN_MINUTES_S, duty)
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": 600}


@pytest.mark.parametrize("n_tasks", (1, 30))
def test_retried_job_whose_caller_died_before_the_marker_is_found(world, n_tasks):
    job = world.job(1, n_tasks=n_tasks)
    world.submit(job)
    world.worker().drain(verb=Verb.FAIL)
    duty = search(world, 1_000.0)
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(Crash) if key.startswith("open/") else None
    with pytest.raises(Crash):
        control.retry(world.repository(store), job.id)
    assert not world.listed("open/")
    search(world, TEN_MINUTES_S, duty)
    world.worker("heir").drain()
    assert world.statuses(job) == {"completed": n_tasks}


@pytest.mark.parametrize(
    ("order", "statuses"),
    (
        (control.resume, {"completed": 30}),
        (control.cancel, {"cancelled": 30}),
        (partial(control.cancel, rows=Rows.span(8, 12)), {"pending": 26, "cancelled": 4}),
    ),
)
def test_order_to_a_paused_job_is_carried_out_although_its_giver_died_before_the_marker(world, order, statuses):
    """The marker of the pause is there meanwhile, and tells nobody to look before the year 2200."""
    job = world.job(1, n_tasks=30)
    world.submit(job)
    control.pause(world.repository(), job.id)
    world.worker().drain()
    duty = search(world, 1_000.0, Sweep(world.repository(), marked=lambda: generations(world)))
    store = FaultyStore(world.inner)
    store.before_write = lambda verb, key: (_ for _ in ()).throw(Crash) if key.startswith("open/") else None
    with pytest.raises(Crash):
        order(world.repository(store), job.id)
    search(world, TEN_MINUTES_S, duty)
    world.worker("heir").drain()
    assert world.statuses(job) == statuses


def paused_for_good(world, job):
    """Submit a job, and pause it when it is known to the search; return the duty. A worker has met it since."""
    duty = search(world, 1_000.0)
    world.submit(job)
    search(world, TEN_MINUTES_S, duty)
    control.pause(world.repository(), job.id)
    world.worker().drain()
    return duty


@pytest.mark.parametrize("n_tasks", (2, 30))
def test_marker_of_a_job_that_ended_while_it_was_paused_for_good_goes(world, n_tasks):
    """Nothing of it is due before the year 2200, so no worker looks at it."""
    job = world.job(1, n_tasks=n_tasks)
    duty = paused_for_good(world, job)
    search(world, TEN_MINUTES_S, duty)
    assert marked(world) == {job.id}, "it is open"
    for row in range(n_tasks):
        control.cancel(world.repository(), job.id, rows=Rows.span(row, row + 1))
    search(world, TEN_MINUTES_S, duty)
    assert world.statuses(job) == {"cancelled": n_tasks}
    assert world.listed("open/") == []


def test_marker_of_a_paused_job_goes_when_what_was_not_retried_has_expired(world):
    job = world.job(1, n_tasks=30, policy=Policy(expires_at=world.now() + 10_000.0))
    duty = paused_for_good(world, job)
    control.cancel(world.repository(), job.id, rows=Rows.span(0, 10))
    control.retry(world.repository(), job.id, statuses=(Status.CANCELLED,), rows=Rows.span(0, 5))
    search(world, 10_000.0 + TEN_MINUTES_S, duty)
    world.worker().drain()
    assert world.statuses(job) == {"cancelled": 5, "expired": 20, "pending": 5}
    assert marked(world) == {job.id}, "those that were retried do not expire"
    control.cancel(world.repository(), job.id, rows=Rows.span(0, 5))
    search(world, TEN_MINUTES_S, duty)
    assert world.listed("open/") == []


def test_jobs_that_wait_for_one_that_ended_while_it_was_paused_are_told(world):
    job = world.job(1, n_tasks=2)
    duty = paused_for_good(world, job)
    child = world.job(2, depends_on=(Parent(job=job.id, origin=job.origin),), on_failure=OnFailure.RUN)
    world.submit(child)
    begin(world.repository(), world.repository().read_job(child.id))
    for row in range(2):
        control.cancel(world.repository(), job.id, rows=Rows.span(row, row + 1))
    search(world, TEN_MINUTES_S, duty)
    assert world.repository().read_job(child.id).doc.release is not None
    assert marked(world) == {child.id}


def test_tags_of_a_job_need_no_marker(world):
    job = world.job(1)
    world.submit(job)
    duty = search(world, 1_000.0)
    control.tag(world.repository(), job.id, {"team": "a"})
    before = world.listed("open/")
    search(world, TEN_MINUTES_S, duty)
    assert world.listed("open/") == before


def test_job_that_loses_its_marker_long_after_it_was_submitted_is_found(world):
    job = world.job(1, n_tasks=30)
    world.submit(job)
    duty = search(world, 3_000.0)
    assert marked(world) == {job.id}
    lose_markers(world)
    search(world, TEN_MINUTES_S, duty)
    assert marked(world) == {job.id}


def test_job_lost_while_no_worker_was_there_is_found_by_the_first_that_comes(world):
    world.submit(world.job(1))
    search(world, 1_000.0)
    world.clock.sleep(100_000.0)
    lost = world.job(2)
    world.submit(lost)
    lose_markers(world)
    world.clock.sleep(100_000.0)
    search(world, 100.0)
    assert marked(world) == {"0" * 17 + "1", lost.id}


@pytest.mark.parametrize("is_marked", (False, True))
def test_job_whose_time_is_over_is_settled_although_no_worker_has_a_function_for_it(world, is_marked):
    job = world.job(1, n_tasks=30, type="nobody", policy=Policy(expires_at=world.now() + 900.0))
    world.submit(job)
    duty = search(world, 700.0)
    if not is_marked:
        lose_markers(world)
    search(world, 200.0 + TEN_MINUTES_S, duty)
    assert world.statuses(job) == {"expired": 30}


def test_paused_and_delayed_jobs_get_their_marker_back_where_it_lay(world):
    paused, delayed = world.job(1), world.job(2, policy=Policy(not_before=world.now() + 50_000.0))
    world.submit(paused)
    world.submit(delayed)
    control.pause(world.repository(), paused.id)
    world.worker().drain(until_s=30.0)
    before = world.listed("open/")
    lose_markers(world)
    search(world, TEN_MINUTES_S)
    assert world.listed("open/") == before


def test_done_jobs_and_jobs_without_tasks_get_no_marker(world):
    for n, n_tasks in enumerate((0, 1, 30, 95)):
        world.submit(world.job(n, n_tasks=n_tasks))
    world.worker().drain()
    store = FaultyStore(world.inner)
    written = []
    store.before_write = lambda verb, key: written.append(key)
    search(world, 2_000.0, Sweep(world.repository(store)))
    assert set(written) == {SWEEP}
    assert world.markers() == []


def test_young_job_is_left_to_its_submitter(world):
    search(world, 1_000.0)
    world.submit(world.job(1))
    lose_markers(world)
    world.clock.sleep(LIMITS.sweep_fresh_s / 2)
    duty = Sweep(world.repository())
    world.inner.delete(SWEEP)
    duty.perform()
    assert not world.listed("open/")


# --- what it costs ------------------------------------------------------------------------------


def test_step_in_a_quiet_queue_costs_three_requests(world):
    for n in range(100):
        world.submit(world.job(n))
    world.worker().drain()
    duty = search(world, 1_500.0)
    world.clock.sleep(LIMITS.sweep_every_s)
    assert cost(world, duty.perform) == {"get": 1, "list": 1, "put": 1}


def test_each_job_is_looked_at_once_and_an_open_one_costs_nothing_more(world):
    world.submit(world.job(1_000))
    duty = search(world, 1_500.0)
    n_steps = 5
    for n in range(40):
        world.submit(world.job(n, type="other"))
    sent = cost(world, lambda: search(world, n_steps * LIMITS.sweep_every_s, duty))
    assert sent["get"] <= n_steps + 40
    assert sent["list"] <= 2 * n_steps
    assert sent["put"] <= n_steps + 1


def test_many_workers_together_make_little_more_than_one_step_at_a_time(world):
    duties = [Sweep(world.repository()) for _ in range(50)]
    world.submit(world.job(1))

    def run():
        for _ in range(2_400):
            world.clock.sleep(1.0)
            for duty in duties:
                if duty.wait_s() <= 0:
                    duty.perform()

    sent = cost(world, run)
    assert sent["put"] <= 2_400 / (LIMITS.sweep_every_s * LIMITS.sweep_early_share) + 2
    assert sent["get"] <= 50 * (2_400 / LIMITS.sweep_every_s + 1) + 10


def test_step_is_bounded_and_goes_on_where_the_last_one_stopped():
    world = World(limits=Limits(queue=QueueLimits(sweep_jobs=100)))  # reached within the first page
    jobs = [world.job(n, id=keyed_job_id("job", f"{n}", 1)) for n in range(3_200)]
    repository = world.repository()
    for job in jobs:
        repository.create_job(job)
    world.clock.sleep(2 * LIMITS.sweep_fresh_s)
    duty, found = Sweep(world.repository()), set()
    for _ in range(4):
        sent = cost(world, duty.perform)
        world.clock.sleep(LIMITS.sweep_every_s)
        assert sent["list"] <= LIMITS.sweep_pages + 1
        assert sent["get"] <= 3 * 1_000
        found |= marked(world)
    assert found == {job.id for job in jobs}


# --- what must not stop it ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    (
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"format": 99}',
        json.dumps({"format": 1, "at": 1e300, "began": 0, "since": 0, "after": "", "watched": {}}).encode(),
        json.dumps({"format": 1, "at": 0, "began": 0, "since": 1e300, "after": "", "watched": {}}).encode(),
        json.dumps({"format": 1, "at": 0, "began": 0, "since": 0, "after": "../x", "watched": {}}).encode(),
        json.dumps({"format": 1, "at": 0, "began": 0, "since": 0, "after": "", "watched": {"../x": None}}).encode(),
        json.dumps({"format": 1, "at": 0, "began": 0, "since": 0, "after": "", "watched": [1]}).encode(),
        json.dumps({"format": 1, "at": "x", "began": 0, "since": 0, "after": 5, "watched": 0}).encode(),
    ),
)
def test_record_of_the_search_that_makes_no_sense_is_begun_anew(world, data):
    world.inner.create(SWEEP, data)
    job = world.job(1)
    world.submit(job)
    lose_markers(world)
    search(world, TEN_MINUTES_S)
    assert marked(world) == {job.id}


@pytest.mark.parametrize("where", ("job", "part"))
def test_document_that_does_not_parse_does_not_stop_the_search(world, where):
    bad, good = world.job(1, n_tasks=30), world.job(2)
    world.submit(bad)
    world.submit(good)
    repository = world.repository()
    (key,) = [key for key in world.listed("jobs/") if bad.id in key]
    world.inner.overwrite(key if where == "job" else repository.keys_of(bad).part(1), b'{"format": 99}')
    world.inner.overwrite("jobs/0000/strange", b"")
    lose_markers(world)
    search(world, TEN_MINUTES_S)
    assert good.id in marked(world)


def test_job_that_this_worker_may_not_read_does_not_stop_the_search(world):
    bad, good = world.job(1), world.job(2)
    world.submit(bad)
    world.submit(good)
    lose_markers(world)
    store = FaultyStore(world.inner)

    def refuse(verb, key):
        if bad.id in key and verb == "read":
            raise Denied(key)

    store.before_read = refuse
    search(world, TEN_MINUTES_S, Sweep(world.repository(store)))
    assert marked(world) == {good.id}
    search(world, TEN_MINUTES_S)
    assert marked(world) == {good.id, bad.id}, "another worker may"


@pytest.mark.parametrize("is_after", (False, True))
@pytest.mark.parametrize("at", range(8))
def test_worker_that_dies_during_a_step_loses_nothing(at, is_after):
    world = World()
    jobs = [world.job(n) for n in range(3)]
    for job in jobs:
        world.submit(job)
    lose_markers(world)
    world.clock.sleep(2 * LIMITS.sweep_fresh_s)
    with suppress(Crash):
        Sweep(world.repository(CrashingStore(world.inner, at=at, is_after=is_after))).perform()
    search(world, TEN_MINUTES_S)
    assert marked(world) == {job.id for job in jobs}


def test_two_steps_at_once_do_no_harm(world):
    world.submit(world.job(1))
    lose_markers(world)
    world.clock.sleep(2 * LIMITS.sweep_fresh_s)
    store, other = FaultyStore(world.inner), Sweep(world.repository())
    store.before_write = lambda verb, key: other.perform() if key == SWEEP and other.wait_s() > 0 else None
    duty = Sweep(world.repository(store))
    duty.perform()
    assert len(world.listed("open/")) == 1
    search(world, 1_000.0, duty)
    assert len(world.listed("open/")) == 1
