"""Garbage is removed, and never what somebody needs, whatever happens at the same moment."""

from __future__ import annotations

import pytest

from oqkit.queue import control
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.dependency import Parent
from oqkit.queue.garbage import Collector, Kind
from oqkit.queue.submission import JOB_SCOPE, Submission, latest, point_to
from oqkit.queue.transition import Verb
from tests.queue.faulty import FaultyStore, World
from tests.queue.test_deletion import ended, left_of

DAY_S = 86_400.0


def collect(world, *, older_than_s=None, store=None, dry_run=False):
    collector = Collector(world.repository(store), older_than_s=older_than_s, dry_run=dry_run)
    return {(one.kind, one.job): one.removed.n_objects for one in collector.collect()}


def output(world, job, index, name):
    key = world.repository().keys_of(job).output(index, name)
    world.inner.create(key, b"rows")
    return key


def test_jobs_that_ended_long_ago_go_and_no_others():
    world = World()
    old, failed = ended(world, 1), ended(world, 2, verb=Verb.FAIL)
    waiting = world.job(3)
    world.submit(waiting)
    world.clock.sleep(8 * DAY_S)
    young = ended(world, 4, n_tasks=5, type="other")
    found = collect(world, older_than_s=7 * DAY_S, dry_run=True)
    assert found == {(Kind.JOB, old.id): 4, (Kind.JOB, failed.id): 4}
    assert left_of(world, old)
    assert collect(world, older_than_s=7 * DAY_S) == found
    assert left_of(world, old) == left_of(world, failed) == []
    assert left_of(world, young)
    assert world.repository().read_job(waiting.id)
    assert collect(world, older_than_s=7 * DAY_S) == {}


def test_without_an_age_no_job_goes():
    world = World()
    job = ended(world)
    world.clock.sleep(400 * DAY_S)
    assert collect(world) == {}
    assert left_of(world, job)


@pytest.mark.parametrize("has_ended_again", (False, True))
def test_job_that_is_retried_at_the_same_moment_stays(has_ended_again):
    world = World()
    job = ended(world, verb=Verb.FAIL)
    world.clock.sleep(8 * DAY_S)
    store = FaultyStore(world.inner)

    def retry(verb, key):
        if verb == "replace" and key.startswith("jobs/"):
            store.before_write = None
            control.retry(world.repository(), job.id)
            if has_ended_again:
                world.worker().drain(idle_s=10.0)

    store.before_write = retry
    assert collect(world, older_than_s=7 * DAY_S, store=store) == {}
    world.worker().drain()
    assert world.statuses(job) == {"completed": 25}


def test_job_whose_results_another_one_waits_for_stays():
    world = World()
    parent = ended(world)
    child = world.job(2, type="later", depends_on=(Parent(job=parent.id, origin=parent.origin),))
    world.submit(child)
    world.clock.sleep(8 * DAY_S)
    assert collect(world, older_than_s=7 * DAY_S) == {}
    world.worker(types=("later",)).drain()
    assert collect(world, older_than_s=7 * DAY_S) == {(Kind.JOB, parent.id): 4}


def test_name_that_leads_to_a_job_stays_as_long_as_that():
    world = World()
    job = world.job(1)
    world.submit(job)
    point_to(world.repository(), job, name="report")
    world.clock.sleep(8 * DAY_S)
    collect(world, older_than_s=7 * DAY_S)
    assert latest(world.repository(), JOB_SCOPE, "report")[1].id == job.id


def test_upload_of_a_submission_that_never_became_a_job_goes_after_a_day():
    world = World()
    job = world.job(1)
    Submission(world.repository(), job).put_input(b"rows")
    world.clock.sleep(DAY_S / 2)
    assert collect(world) == {}
    world.clock.sleep(DAY_S)
    assert collect(world) == {(Kind.ORPHAN, job.id): 1}
    assert world.listed("work/") == []


def test_upload_whose_job_is_stored_at_the_same_moment_stays():
    world = World()
    job = world.job(1)
    submission = Submission(world.repository(), job)
    submission.put_input(b"rows")
    world.clock.sleep(2 * DAY_S)
    store = FaultyStore(world.inner)

    def commit(verb, key):
        if verb == "list" and job.id in key:
            store.before_read = None
            submission.commit(job)

    store.before_read = commit
    assert collect(world, store=store) == {}
    assert [key for key in world.listed("work/") if "/in-" in key]


def test_output_that_no_part_names_goes_after_a_day_and_those_that_count_stay():
    world = World()
    job = ended(world)
    named = output(world, job, 0, next(iter(world.parts(job)[0].outputs)))
    fenced = output(world, job, 0, "lost.1")
    world.clock.sleep(DAY_S / 2)
    assert collect(world) == {}
    world.clock.sleep(DAY_S)
    young = output(world, job, 0, "lost.2")
    assert collect(world) == {(Kind.FENCED, job.id): 1}
    assert {named, young} <= set(world.listed())
    assert fenced not in world.listed()


def test_output_of_a_lease_that_commits_at_the_same_moment_stays():
    world = World()
    job = world.job(1, n_tasks=5)
    world.submit(job)
    lease = world.worker(lease_s=10 * DAY_S).find()
    key = output(world, job, 0, f"{lease.id}.1")
    world.clock.sleep(2 * DAY_S)
    assert collect(world) == {}, "it may still be committed"
    store = FaultyStore(world.inner)

    def commit(verb, key):
        if verb == "read" and "/parts/" in key:
            store.before_read = None
            outcome = Outcome(verb=Verb.COMPLETE, rows=lease.rows)
            lease.commit(Commit(outcomes=[outcome], output={"by": lease.id}, is_last=True))

    store.before_read = commit
    assert collect(world, store=store) == {}
    assert key in world.listed()
