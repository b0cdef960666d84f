"""Jobs that depend on others: who tells them, whoever dies meanwhile."""

from __future__ import annotations

import itertools
import json

import pytest

from oqkit.errors import Denied
from oqkit.queue import control, release
from oqkit.queue.dependency import OnFailure, Parent
from oqkit.queue.job import ControlVerb
from oqkit.queue.policy import Policy
from oqkit.queue.reconcile import Reconciler
from oqkit.queue.submission import Submission, resume
from oqkit.queue.transition import Verb
from oqkit.queue.view import JobView
from tests.queue.faulty import NO_WAIT, FaultyStore, World, WrappedStore, cost
from tests.queue.test_crash import every_crash

sides = pytest.mark.parametrize("is_after", (False, True), ids=("before", "after"))
WITHIN_S = 5.0


def parent_of(job, **more):
    return Parent(job=job.id, origin=job.origin, name=job.name or f"job {job.id[-1]}", root=job.root, **more)


def child(world, number, *parents, **more):
    """Return a job that depends on others, not stored yet."""
    more.setdefault("policy", NO_WAIT)
    return world.job(
        number,
        depends_on=tuple(map(parent_of, parents)),
        root=parents[0].root or parents[0].id,
        requires=("dependencies",),
        **more,
    )


def stored(world, number, *parents, **more):
    return world.submit(child(world, number, *parents, **more) if parents else world.job(number, policy=NO_WAIT)).job


def read(world, job):
    return world.repository().read_job(job.id).doc


def n_releases(world, job):
    return sum(control.verb is ControlVerb.RELEASE for control in read(world, job).controls)


def is_blocked(world, job):
    return read(world, job).is_blocked(world.now())


def test_child_waits_for_its_parent_and_is_run_at_once_then(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    assert is_blocked(world, job)
    worker = world.worker()
    start = world.now()
    assert worker.step()
    assert worker.step()
    assert [one for one, _ in worker.ran] == [parent.id, job.id]
    assert world.now() == start, "whoever sees the end of a job goes on with what waited for it"
    assert world.markers() == world.listed("waiting/") == []


def test_child_whose_parents_have_ended_is_released_as_it_is_submitted(world):
    parent = stored(world, 1)
    world.worker().drain()
    job = stored(world, 2, parent)
    assert job.release is not None
    assert world.listed("waiting/") == []
    assert len(world.markers()) == 1


def submit_child(world, repository, parent):
    job = child(world, 2, parent, id="k" + "0" * 17, created=parent.created)
    return Submission(repository, job).commit(job).job


def finished(world, *jobs, statuses=("completed",)):
    for job in jobs:
        assert set(world.statuses(job)) == set(statuses), job.id
    assert world.markers() == []


@sides
def test_child_whose_submitter_died_is_released_whoever_looks_first(is_after):
    for world, parent in every_crash(lambda w: stored(w, 1), submit_child, is_after=is_after):
        worker = world.worker()
        worker.drain(until_s=20_000.0, idle_s=4_000.0)
        stored_jobs = len(world.listed("jobs/"))
        assert world.statuses(parent) == {"completed": 1}
        if stored_jobs == 2 and not world.markers():
            job = world.job(2, id="k" + "0" * 17, created=parent.created)
            assert set(world.statuses(job)) in (
                {"completed"},
                {"pending"},
            )  # pending: nobody was told, as it has no marker


@sides
def test_submission_of_a_child_that_died_is_completed_by_the_next(is_after):
    for world, parent in every_crash(lambda w: stored(w, 1), submit_child, is_after=is_after):
        job = submit_child(world, world.repository(), parent)
        worker = world.worker()
        worker.drain(until_s=600.0)
        finished(world, parent, job)
        assert n_releases(world, job) == 1
        assert worker.ran == {(parent.id, 0): 1, (job.id, 0): 1}


def work_it_off(world, repository, _):
    world.worker("dies", repository=repository).drain(until_s=600.0)


@pytest.mark.parametrize("shape", ("chain", "diamond", "fan"))
@sides
def test_pipeline_of_a_dead_worker_is_finished_by_another(shape, is_after):
    def prepare(world):
        first = stored(world, 1)
        if shape == "chain":
            second = stored(world, 2, first)
            return [first, second, stored(world, 3, second)]
        if shape == "diamond":
            left, right = stored(world, 2, first), stored(world, 3, first)
            return [first, left, right, stored(world, 4, left, right)]
        fan = [stored(world, n, first) for n in range(2, 5)]
        return [first, *fan, stored(world, 9, *fan, first)]

    for world, jobs in every_crash(prepare, work_it_off, is_after=is_after):
        world.worker("heir").drain(until_s=600.0, idle_s=100.0)
        finished(world, *jobs)
        assert [n_releases(world, job) for job in jobs] == [0, *[1] * (len(jobs) - 1)]
        assert world.listed("waiting/") == []


@pytest.mark.parametrize(
    ("on_failure", "status"), ((OnFailure.FAIL, "failed"), (OnFailure.SKIP, "cancelled"), (OnFailure.RUN, "completed"))
)
@sides
def test_child_of_a_failed_parent_ends_as_it_has_chosen_whoever_dies(on_failure, status, is_after):
    def prepare(world):
        parent = stored(world, 1)
        return parent, stored(world, 2, parent, on_failure=on_failure, n_tasks=25)

    def fail_it(world, repository, jobs):
        worker = world.worker("dies", repository=repository)
        while not worker.step(Verb.FAIL):
            world.clock.sleep(1.0)
        worker.drain(until_s=100.0, idle_s=50.0)

    for world, (parent, job) in every_crash(prepare, fail_it, is_after=is_after):
        heir = world.worker("heir")
        while world.statuses(parent) != {"failed": 1}:
            heir.step(Verb.FAIL) or world.clock.sleep(1.0)
        heir.drain(until_s=600.0, idle_s=100.0)
        finished(world, job, statuses=(status,))
        assert sum(world.statuses(job).values()) == 25


def test_failed_parent_is_named_in_the_order(world):
    parents = [stored(world, n) for n in (1, 2)]
    job = stored(world, 3, *parents)
    worker = world.worker()
    worker.step(Verb.FAIL)
    worker.drain(until_s=100.0)
    failed = next(one for one in parents if world.statuses(one) == {"failed": 1})
    reason = read(world, job).release.reason
    assert f"({failed.id})" in reason
    assert reason.count("(") == 1
    assert world.statuses(job) == {"failed": 1}


def test_failure_of_a_parent_in_a_block_before_is_not_forgotten(world):
    """What was seen of parents in earlier blocks is in the name of the entry alone."""
    parents = [stored(world, n) for n in range(1, 40)]
    job = stored(world, 50, *parents)
    worker, failed = world.worker(), parents[3]
    while (lease := worker.find()) is not None:
        if lease.job.id in (parents[16].id, parents[38].id) and sum(worker.ran.values()) < 36:
            world.held = [*getattr(world, "held", []), lease]
            continue
        worker.finish(lease, Verb.FAIL if lease.job.id == failed.id else Verb.COMPLETE)
    for lease in world.held:
        worker.finish(lease)
    worker.drain(until_s=100.0)
    assert f"({failed.id})" in read(world, job).release.reason
    assert world.statuses(job) == {"failed": 1}


def test_child_that_was_cancelled_ends_at_once_and_stays_cancelled(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    control.cancel(world.repository(), job.id)
    worker = world.worker()
    lease = worker.find()
    assert lease.job.id == parent.id
    assert worker.find() is None
    assert not [name for name in world.markers() if job.id in name], "it has ended, whatever becomes of its parent"
    worker.finish(lease)
    worker.drain(until_s=100.0)
    assert world.statuses(job) == {"cancelled": 1}
    assert world.markers() == []


def test_child_that_is_retried_while_its_parent_runs_waits_again(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    control.cancel(world.repository(), job.id)
    control.retry(world.repository(), job.id, statuses=control.RETRYABLE)
    assert is_blocked(world, job)
    worker = world.worker()
    worker.drain(until_s=100.0)
    assert [one for one, _ in worker.ran] == [parent.id, job.id]


def test_retry_of_a_parent_takes_nothing_back(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    worker = world.worker()
    worker.step(Verb.FAIL)
    control.retry(world.repository(), parent.id)
    worker.drain(until_s=100.0)
    assert world.statuses(job) == {"failed": 1}
    assert world.statuses(parent) == {"completed": 1}
    assert n_releases(world, job) == 1


def test_failed_child_can_be_retried_by_hand_and_runs_then(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    worker = world.worker()
    worker.step(Verb.FAIL)
    worker.drain(until_s=100.0)
    control.retry(world.repository(), job.id)
    worker.drain(until_s=100.0)
    assert world.statuses(job) == {"completed": 1}


def test_child_whose_time_is_over_expires_although_its_parent_runs(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent, policy=Policy(expires_at=world.now() + 30.0))
    worker = world.worker()
    lease = worker.find()
    assert lease.job.id == parent.id
    worker.drain(until_s=40.0)
    assert world.statuses(job) == {"expired": 1}


@pytest.mark.parametrize(
    ("on_failure", "status"), ((OnFailure.FAIL, "failed"), (OnFailure.SKIP, "cancelled"), (OnFailure.RUN, "completed"))
)
def test_parent_of_which_nothing_is_left_counts_as_ended_and_not_as_completed(world, on_failure, status):
    parent = stored(world, 1)
    job = stored(world, 2, parent, on_failure=on_failure)
    for name in world.listed(f"jobs/0000/{parent.id}"):
        world.inner.delete(name)
    world.worker().drain(until_s=200.0)
    assert world.statuses(job) == {status: 1}
    assert read(world, job).release.reason == (
        f"it depends on 'job 1' ({parent.id}), which did not complete, or was deleted so that nobody knows"
    )


def test_no_circle_can_arise_from_a_key_that_is_used_again(world):
    """Of two jobs with keys the first was deleted and submitted once more, to wait for the one that waited for it."""
    first = world.submit(world.job(1, id="k" + "1" * 17, policy=NO_WAIT)).job
    second = stored(world, 2, first, id="k" + "2" * 17, on_failure=OnFailure.RUN)
    for name in world.listed(f"jobs/0000/{first.id}"):
        world.inner.delete(name)
    again = stored(world, 1, second, id=first.id)
    worker = world.worker()
    worker.drain(until_s=400.0)
    assert [one for one, _ in worker.ran] == [second.id, again.id]


def test_worker_that_read_the_parent_before_its_first_child_came_does_not_forget_the_child(world):
    """It takes down the markers of the parent that it read, and the order has put up another."""
    parent = stored(world, 1)
    worker = world.worker()
    lease = worker.find()
    job = stored(world, 2, parent)
    worker.finish(lease)
    start = world.clock.time_s
    while not worker.step():
        world.clock.sleep(0.2)
    assert world.clock.time_s - start <= WITHIN_S
    assert set(worker.ran) == {(parent.id, 0), (job.id, 0)}


def test_parent_that_ends_while_its_child_is_submitted_tells_it(world):
    """At each write of the submission, before and after it, a worker ends the parent."""
    for at in itertools.count():
        world = World(seed=at)
        parent = stored(world, 1)
        store = FaultyStore(world.inner)
        numbers = itertools.count()

        def end_it(verb, key, world=world, at=at, numbers=numbers):
            if next(numbers) == at:
                world.worker("ends").step()

        store.before_write = end_it
        job = submit_child(world, world.repository(store), parent)
        heir = world.worker("heir")
        heir.drain(until_s=50.0, idle_s=40.0)
        assert world.statuses(job) == {"completed": 1}, "before anybody looks again in case that nobody told it"
        heir.drain(until_s=100.0, idle_s=80.0)
        finished(world, parent, job)
        assert n_releases(world, job) == 1
        if at > next(numbers):
            break


def test_two_workers_that_release_together_release_once(world):
    parent = stored(world, 1)
    jobs = [stored(world, n, parent) for n in range(2, 22)]
    world.worker().step()
    store = FaultyStore(world.inner)
    first = world.repository(store)
    again = read(world, parent)
    is_inside = []

    def both(verb, key):
        if key.startswith("jobs/") and not is_inside:
            is_inside.append(key)
            release.release_followers(world.repository(), again)

    for job in jobs:
        put = f"waiting/{parent.id}/{job.id}"
        if put not in world.listed("waiting/"):
            world.inner.create(put, b"")
    store.before_write = both
    release.release_followers(first, again)
    assert [n_releases(world, job) for job in jobs] == [1] * 20
    assert world.listed("waiting/") == []


def test_fan_in_looks_at_few_parents_at_a_time(world):
    """Until the last has ended, each end costs some requests, however many parents there are."""
    parents = [stored(world, n) for n in range(100)]
    job = stored(world, 200, *parents)
    worker = world.worker()
    n_requests = sum(sum(cost(world, worker.step).values()) for _ in parents)
    assert n_requests < 100 * 10
    worker.drain(until_s=100.0)
    assert world.statuses(job) == {"completed": 1}


def test_child_submitted_again_is_told_again(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    for name in world.listed("waiting/"):
        world.inner.delete(name)
    resume(world.repository(), read(world, job))
    worker = world.worker()
    worker.drain(until_s=40.0)
    assert world.statuses(job) == {"completed": 1}


def test_entry_that_nobody_understands_keeps_no_other_waiting(world):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    world.inner.create(f"waiting/{parent.id}/junk", b"")
    world.inner.create(f"waiting/{parent.id}/{'0' * 17}9", b"")
    world.worker().drain(until_s=40.0)
    assert world.statuses(job) == {"completed": 1}
    assert world.listed("waiting/") == [f"waiting/{parent.id}/junk"], "a newer oqkit may know what it is"


def test_child_of_a_newer_oqkit_is_left_to_those_who_understand_it(world, monkeypatch):
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    with monkeypatch.context() as patch:
        patch.setattr("oqkit.queue.document.FEATURES", frozenset({"dependencies"}))
        name = f"jobs/0000/{job.id}.json"
        doc = json.loads(world.inner.read(name).data)
        world.inner.overwrite(name, json.dumps({**doc, "requires": ["dependencies", "telepathy"]}).encode())
        world.worker().drain(until_s=30.0, idle_s=20.0)
    assert world.listed("waiting/") == [f"waiting/{parent.id}/{job.id}"]
    assert world.statuses(parent) == {"completed": 1}


def test_child_of_no_tasks_waits_for_nothing(world):
    parent = stored(world, 1)
    stored(world, 2, parent, n_tasks=0)
    assert world.listed("waiting/") == []
    assert not read(world, parent).has_followers


def test_who_waits_for_a_child_tells_it_if_nobody_else_does(world):
    """Its submitter died before the entry, and the workers may not write jobs."""
    parent = stored(world, 1)
    job = stored(world, 2, parent)
    for name in [*world.listed("waiting/"), *(one for one in world.listed("open/") if job.id in one)]:
        world.inner.delete(name)
    world.worker().drain(until_s=30.0, idle_s=20.0)
    assert is_blocked(world, job)
    view = JobView(world.repository(), read(world, job))
    reconciler = Reconciler(world.repository())
    for _ in range(15):
        reconciler.look(view.refresh())
        world.clock.sleep(1.0)
    assert n_releases(world, job) == 1
    world.worker().drain(until_s=30.0, idle_s=20.0)
    assert world.statuses(job) == {"completed": 1}


def test_worker_that_may_not_write_jobs_leaves_the_end_to_others_and_goes_on(world, caplog):
    parent, other = stored(world, 1), stored(world, 3)
    job = stored(world, 2, parent)

    class NoJobs(WrappedStore):
        def _do(self, verb, key, call):
            if verb == "replace" and key.startswith("jobs/"):
                raise Denied(f"{verb} {key}")
            return super()._do(verb, key, call)

    worker = world.worker("worker", repository=world.repository(NoJobs(world.inner)))
    worker.drain(until_s=60.0, idle_s=30.0)
    assert world.statuses(parent) == world.statuses(other) == {"completed": 1}
    assert [record.getMessage().count("is left to others") for record in caplog.records].count(1) == 1
    assert is_blocked(world, job)
    assert any(parent.id in name for name in world.markers()), "somebody else finds it"
    world.worker("who may").drain(until_s=60.0, idle_s=30.0)
    assert world.statuses(job) == {"completed": 1}
