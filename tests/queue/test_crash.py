"""The process dies at every single request, before and after it is applied; somebody else then finishes the work."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from oqkit.queue import control
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.queue.submission import Submission
from oqkit.queue.transition import Verb
from oqkit.queue.view import JobView
from tests.queue.faulty import NO_WAIT, Crash, CrashingStore, World

SHAPES = {"one task": (1, 10), "one part": (7, 10), "three parts": (25, 10)}

shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
sides = pytest.mark.parametrize("is_after", (False, True), ids=("before", "after"))


def every_crash(prepare: Callable[[World], object], act: Callable[[World, object, object], None], *, is_after: bool):
    """Yield the world after each way to die in `act`, which gets the world, the crashing repository and what was prepared."""
    for at in itertools.count():
        world = World(seed=at)
        prepared = prepare(world)
        store = CrashingStore(world.inner, at=at, is_after=is_after)
        try:
            act(world, world.repository(store), prepared)
        except Crash:
            yield world, prepared
        else:
            assert at >= 3, "a scenario of so few requests tests nothing"
            yield world, prepared
            return


def is_seen_as_final(world, job):
    repository = world.repository()
    view = JobView(repository, repository.read_job(job.id).doc)
    view.refresh()
    return view.state.is_final


def check_finished(world, job, *, statuses=("completed",)):
    got = world.statuses(job)
    assert sum(got.values()) == job.n_tasks
    assert set(got) <= set(statuses), got
    assert is_seen_as_final(world, job)
    assert world.markers() == [], "the last worker takes the markers down"
    present = set(world.listed("work/"))
    repository = world.repository()
    for part in world.parts(job):
        assert not any(part.held(lease.id) for lease in part.leases)
        for name, inline in part.outputs.items():
            assert inline is not None or repository.keys_of(job).output(part.index, name) in present
    return got


def named_job(world, shape):
    n_tasks, part_rows = shape
    return world.job(n_tasks=n_tasks, part_rows=part_rows, id="k" + "0" * 17, policy=NO_WAIT, created=world.now())


def submit(world, repository, shape):
    job = named_job(world, shape)
    submission = Submission(repository, job)
    submission.put_input(b"the same bytes")
    submission.put_input(b"more bytes")
    return submission.commit(job).job


@shapes
@sides
def test_named_submission_that_died_is_completed_by_the_next(shape, is_after):
    for world, _ in every_crash(
        lambda w: None, lambda w, repository, _: submit(w, repository, shape), is_after=is_after
    ):
        job = submit(world, world.repository(), shape)
        assert len(world.listed("jobs/")) == 1
        worker = world.worker()
        worker.drain()
        check_finished(world, job)
        assert set(worker.ran.values()) == {1}


@shapes
@sides
def test_submission_that_died_is_either_not_there_or_whole(shape, is_after):
    n_jobs = set()
    for world, _ in every_crash(
        lambda w: None, lambda w, repository, _: submit(w, repository, shape), is_after=is_after
    ):
        world.worker().drain(until_s=100.0, idle_s=40.0)
        jobs = world.listed("jobs/")
        n_jobs.add(len(jobs))
        if jobs and not world.markers():
            assert set(world.statuses(named_job(world, shape))) in ({"completed"}, {"pending"})
    assert n_jobs == {0, 1}


def work_one_lease(world, repository, job):
    worker = world.worker("dies", repository=repository, max_rows=4)
    while (lease := worker.find()) is not None:
        rows = list(lease.rows)
        lease.put_output(b"first")
        half = Rows.span(rows[0], rows[0] + 1)
        lease.commit(Commit(outcomes=[Outcome(verb=Verb.COMPLETE, rows=half)], output=b"first"))
        if not lease.is_over:
            lease.put_output(b"rest")
            rest = Outcome(verb=Verb.COMPLETE, rows=lease.rows)
            lease.commit(Commit(outcomes=[rest], output=b"rest", is_last=True))
        worker.claimer.ended(lease)


@shapes
@sides
def test_work_of_a_dead_worker_is_finished_by_another(shape, is_after):
    def prepare(world):
        return submit(world, world.repository(), shape)

    for world, job in every_crash(prepare, work_one_lease, is_after=is_after):
        before = {(part.index, row) for part in world.parts(job) for row in range(part.n_rows) if completed(part, row)}
        worker = world.worker("heir")
        worker.drain()
        check_finished(world, job)
        again = {divmod(row, job.part_rows) for _, row in worker.ran}
        assert not again & before, "a recorded task is never run again"
        assert max(worker.ran.values(), default=1) == 1


def completed(part, row):
    return str(part.state_at(row).status) == "completed"


def fail_all(world, repository, job):
    """A worker whose tasks all fail for good, so that markers are taken down by a finaliser."""
    worker = world.worker("dies", repository=repository)
    while (lease := worker.find()) is not None:
        worker.finish(lease, Verb.FAIL)


@shapes
@sides
def test_failed_work_of_a_dead_worker_ends_too(shape, is_after):
    def prepare(world):
        return submit(world, world.repository(), shape)

    for world, job in every_crash(prepare, fail_all, is_after=is_after):
        world.worker("heir").drain()
        check_finished(world, job, statuses=("completed", "failed"))


def half_done(world, shape):
    job = submit(world, world.repository(), shape)
    world.worker(max_rows=3).step()
    return job


@shapes
@sides
@pytest.mark.parametrize("is_running", (False, True), ids=("idle", "running"))
def test_cancel_that_died_leaves_a_job_that_ends(shape, is_after, is_running):
    def prepare(world):
        job = submit(world, world.repository(), shape)
        world.holder = world.worker("holder", max_rows=3)
        world.lease = world.holder.find() if is_running else None
        return job

    for world, job in every_crash(
        prepare, lambda w, repository, job: control.cancel(repository, job.id), is_after=is_after
    ):
        world.worker("heir").drain()
        check_finished(world, job, statuses=("completed", "cancelled"))


@shapes
@sides
def test_cancel_that_died_is_completed_by_the_next(shape, is_after):
    def prepare(world):
        return half_done(world, shape)

    for world, job in every_crash(
        prepare, lambda w, repository, job: control.cancel(repository, job.id), is_after=is_after
    ):
        control.cancel(world.repository(), job.id)
        assert set(world.statuses(job)) <= {"completed", "cancelled"}
        world.worker("heir").drain()
        check_finished(world, job, statuses=("completed", "cancelled"))


@shapes
@sides
def test_cancel_that_died_after_the_work_ended_leaves_it_ended(shape, is_after):
    def prepare(world):
        job = submit(world, world.repository(), shape)
        world.worker().drain()
        return job

    for world, job in every_crash(
        prepare, lambda w, repository, job: control.cancel(repository, job.id), is_after=is_after
    ):
        assert is_seen_as_final(world, job)
        world.worker("heir").drain()
        check_finished(world, job)


@shapes
@sides
def test_cancel_that_died_while_a_worker_knew_only_the_old_job(shape, is_after):
    def prepare(world):
        job = submit(world, world.repository(), shape)
        world.old = world.worker("old", max_rows=3)
        world.old.step()
        return job

    for world, job in every_crash(
        prepare, lambda w, repository, job: control.cancel(repository, job.id), is_after=is_after
    ):
        world.old.drain()
        check_finished(world, job, statuses=("completed", "cancelled"))


@shapes
@sides
def test_retry_that_died_is_completed_by_the_next(shape, is_after):
    def prepare(world):
        job = submit(world, world.repository(), shape)
        world.worker().drain(verb=Verb.FAIL)
        assert world.statuses(job) == {"failed": shape[0]}
        return job

    for world, job in every_crash(
        prepare, lambda w, repository, job: control.retry(repository, job.id), is_after=is_after
    ):
        control.retry(world.repository(), job.id)
        worker = world.worker("heir")
        worker.drain()
        check_finished(world, job)
        assert set(worker.ran.values()) == {1}


@shapes
@sides
def test_retry_that_died_with_its_marker_up_is_completed_by_workers(shape, is_after):
    def prepare(world):
        job = submit(world, world.repository(), shape)
        world.worker().drain(verb=Verb.FAIL)
        return job

    n_completed = 0
    for world, job in every_crash(
        prepare, lambda w, repository, job: control.retry(repository, job.id), is_after=is_after
    ):
        if not world.markers():
            continue
        n_completed += 1
        world.worker("heir").drain()
        check_finished(world, job)
    assert n_completed >= 3


@sides
def test_postponed_task_of_a_dead_worker_is_not_lost(is_after):
    """The marker is moved out of the way in two steps."""
    policy = Policy(retries=3, backoff=Backoff(initial_s=30.0))

    def prepare(world):
        job = world.job(policy=policy)
        world.submit(job)
        return job

    def fail_once(world, repository, job):
        worker = world.worker("dies", repository=repository)
        worker.step(Verb.RETRY)

    for world, job in every_crash(prepare, fail_once, is_after=is_after):
        world.worker("heir").drain()
        check_finished(world, job)
