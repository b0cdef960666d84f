"""A deleted job is gone for everybody at one moment, whoever does what at the same time and wherever it is cut off."""

from __future__ import annotations

from contextlib import suppress

import pytest

from oqkit.errors import Missing, UnknownJob
from oqkit.limits import Limits
from oqkit.queue import control
from oqkit.queue.deletion import delete_job
from oqkit.queue.dependency import Parent
from oqkit.queue.key import keyed_job_id, waiting_prefix
from oqkit.queue.submission import JOB_SCOPE, Submission, latest
from oqkit.queue.tombstone import tombstone
from oqkit.queue.transition import Verb
from oqkit.queue.view import JobView
from tests.queue.faulty import Crash, CrashingStore, FaultyStore, World
from tests.queue.test_sweep import search

STAY_S = Limits().queue.deleted_stay_s


def ended(world, number=1, *, verb=Verb.COMPLETE, n_tasks=25, **more):
    """Submit a job with an input, and run it."""
    job = world.job(number, n_tasks=n_tasks, **more)
    submission = Submission(world.repository(), job)
    submission.put_input(b"rows")
    submission.commit(job)
    world.worker().drain(verb=verb)
    world.markers()
    return job


def left_of(world, job):
    return [key for key in world.listed() if job.id in key]


def test_deleted_job_is_gone_with_all_that_was_its_own():
    world = World()
    job, other = ended(world), ended(world, 2)
    before = left_of(world, other)
    world.clock.sleep(2 * STAY_S)
    removed = delete_job(world.repository(), job.id)
    assert (removed.n_objects, removed.n_bytes > 4) == (4, True)
    assert left_of(world, job) == []
    assert left_of(world, other) == before
    with pytest.raises(Missing):
        world.repository().read_job(job.id)


def test_job_whose_last_task_ends_after_its_age_was_asked_for_stays():
    world, asked = World(), []
    job = world.job(1)
    world.submit(job)
    lease = world.worker().find()

    def is_old(_):
        asked.append(world.statuses(job))
        if len(asked) == 1:
            world.workers[0].finish(lease)
            return True  # nothing had happened to it for long
        return False

    assert delete_job(world.repository(), job.id, only_if=is_old) is None
    assert asked == [{"running": 1}, {"completed": 1}]
    assert world.repository().read_job(job.id)


def test_job_that_has_not_ended_is_not_deleted():
    world = World()
    job = world.job(1, n_tasks=25)
    world.submit(job)
    lease = world.worker().find()
    assert delete_job(world.repository(), job.id) is None
    world.workers[0].finish(lease)
    assert delete_job(world.repository(), job.id) is None
    world.worker().drain()
    assert delete_job(world.repository(), job.id) is not None


def test_retry_that_comes_before_the_tombstone_keeps_the_job():
    world = World()
    job = ended(world, verb=Verb.FAIL)
    store = FaultyStore(world.inner)

    def retry(verb, key):
        if verb == "replace" and key.startswith("jobs/"):
            store.before_write = None
            control.retry(world.repository(), job.id)

    store.before_write = retry
    assert delete_job(world.repository(store), job.id) is None
    world.worker().drain()
    assert world.statuses(job) == {"completed": 25}


def test_order_that_comes_after_the_tombstone_finds_no_job():
    world = World()
    job = ended(world, verb=Verb.FAIL)
    delete_job(world.repository(), job.id)
    with pytest.raises(Missing):
        control.retry(world.repository(), job.id)
    assert world.markers() == []


def test_delete_whose_reply_is_lost_is_done():
    world = World()
    job = ended(world)
    assert delete_job(world.repository(FaultyStore(world.inner, ("drop",), only="jobs/")), job.id) is not None
    with pytest.raises(Missing):
        delete_job(world.repository(), job.id)


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("is_after", (False, True))
def test_delete_that_is_cut_off_leaves_the_job_whole_or_gone(at, is_after):
    world = World()
    job = ended(world)
    world.clock.sleep(2 * STAY_S)
    whole = left_of(world, job)
    with suppress(Crash):
        delete_job(world.repository(CrashingStore(world.inner, at=at, is_after=is_after)), job.id)
    try:
        world.repository().read_job(job.id)
    except Missing:
        search(world, 2_000.0)
        assert left_of(world, job) == []
    else:
        assert left_of(world, job) == whole


def test_parts_that_changed_lately_stay_until_no_worker_can_take_them_for_untouched():
    world = World()
    job = ended(world)
    duty = search(world, 0.0)
    delete_job(world.repository(), job.id)
    assert [key for key in left_of(world, job) if "/parts/" not in key] == world.listed("jobs/")
    search(world, STAY_S + 1_200.0, duty)
    assert left_of(world, job) == []


def test_worker_that_read_the_job_long_ago_does_not_begin_it_again():
    world = World()
    job = world.job(1, n_tasks=25)
    world.submit(job)
    sleeper = world.worker("sleeper", max_rows=10)
    sleeper.step()
    markers = world.listed("open/")
    world.worker("other").drain()
    world.clock.sleep(2 * STAY_S)
    delete_job(world.repository(), job.id)
    for marker in markers:  # as where workers may not take any down
        world.inner.overwrite(marker, b"")
    ran = dict(sleeper.ran)
    sleeper.drain()
    assert sleeper.ran == ran
    assert not world.listed("work/")


def test_marker_of_a_deleted_job_is_taken_down():
    world = World()
    job = ended(world)
    delete_job(world.repository(), job.id)
    repository = world.repository()
    repository.put_marker(repository.marker(job, due=world.now()))
    assert not world.worker().drain(until_s=60.0)
    assert world.markers() == []


# --- who refers to it ---------------------------------------------------------------------------


def test_generations_of_a_name_have_no_gap_where_one_was_deleted():
    world = World()
    jobs = [ended(world, id=keyed_job_id(JOB_SCOPE, "report", n), n_tasks=1) for n in (1, 2, 3)]
    world.clock.sleep(2 * STAY_S)
    delete_job(world.repository(), jobs[0].id)
    assert latest(world.repository(), JOB_SCOPE, "report")[0] == 3
    delete_job(world.repository(), jobs[2].id)
    search(world, 2_000.0)
    assert latest(world.repository(), JOB_SCOPE, "report") == (3, None)


def test_submission_that_is_repeated_after_the_delete_is_not_run_again():
    world = World()
    job = ended(world, id=keyed_job_id("outbox", "record", 1))
    delete_job(world.repository(), job.id)
    world.clock.sleep(2 * STAY_S)
    search(world, 1.0)
    submission = Submission(world.repository(), job)
    submission.put_input(b"rows")
    again = submission.commit(job)
    assert (again.is_new, again.job.n_tasks) == (True, 0)
    assert [key for key in world.listed("work/") if "/in-" in key] == world.markers() == []


def test_job_that_waits_for_a_deleted_one_starts():
    world = World()
    parent = world.job(1, n_tasks=25)
    world.submit(parent)
    child = world.job(2, n_tasks=1, depends_on=(Parent(job=parent.id, origin=parent.origin),))
    world.submit(child)
    repository = world.repository()
    control.cancel(repository, parent.id)
    delete_job(repository, parent.id)
    assert not world.listed(waiting_prefix(parent.id))
    world.worker().drain()
    assert world.statuses(child) == {"failed": 1}  # as the parent was cancelled


def test_view_of_a_deleted_job_does_not_take_it_for_one_that_nobody_has_begun():
    world = World()
    job = world.job(1, n_tasks=25)
    world.submit(job)
    early = JobView(world.repository(), job)
    world.worker().drain()
    late = JobView(world.repository(), job)
    late.refresh()
    world.clock.sleep(2 * STAY_S)
    delete_job(world.repository(), job.id)
    for view in (early, late):
        with pytest.raises(UnknownJob):
            view.refresh()


def test_tombstone_says_that_older_workers_must_leave_it_alone_and_nothing_of_what_the_job_was_about():
    world = World()
    job = world.job(1, n_tasks=25, name="secret", tags={"secret": "yes"}, input={"secret": 1})
    grave = tombstone(job, now=world.now(), outcome=())
    assert "deleted" in grave.requires
    assert "secret" not in repr(grave)
