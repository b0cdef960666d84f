"""How a parent ended is known as long as a job waits for it, also once it was deleted."""

from __future__ import annotations

import pytest

from oqkit.limits import Limits
from oqkit.queue import control
from oqkit.queue.deletion import clear, delete_job
from oqkit.queue.dependency import OnFailure
from oqkit.queue.garbage import Collector
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Status, Verb
from tests.queue.faulty import cost
from tests.queue.test_release import is_blocked, parent_of, read, stored

STAY_S = Limits().queue.deleted_stay_s


def ended(world, number, verb=Verb.COMPLETE, **more):
    """Return a job of type "early" that has ended so."""
    job = world.submit(world.job(number, type="early", **more)).job
    world.worker(f"early{number}", types=("early",)).drain(verb=verb, until_s=1.0)
    world.markers()
    return job


@pytest.mark.parametrize("is_old", (False, True), ids=("young", "old"))
@pytest.mark.parametrize(
    ("verb", "on_failure", "status"),
    (
        (Verb.COMPLETE, OnFailure.FAIL, "completed"),
        (Verb.FAIL, OnFailure.FAIL, "failed"),
        (Verb.FAIL, OnFailure.SKIP, "cancelled"),
        (Verb.FAIL, OnFailure.RUN, "completed"),
    ),
)
def test_on_failure_decides_by_how_a_parent_had_ended_that_was_deleted(world, verb, on_failure, status, is_old):
    """The child waits at the other parent when it is deleted, so nobody tells it then."""
    first, last = ended(world, 1, verb), stored(world, 2)
    job = stored(world, 3, first, last, on_failure=on_failure)
    if is_old:
        world.clock.sleep(2 * STAY_S)
    assert delete_job(world.repository(), first.id) is not None
    assert is_blocked(world, job)
    world.worker().drain(until_s=200.0)
    assert world.statuses(last) == {"completed": 1}
    assert world.statuses(job) == {status: 1}
    told = f"it depends on 'job 1' ({first.id}), which did not complete" if verb is Verb.FAIL else ""
    assert read(world, job).release.reason == told


def test_tombstone_stays_until_nobody_waits_for_what_it_says_and_goes_then(world):
    first, last = ended(world, 1, Verb.FAIL), stored(world, 2)
    stored(world, 3, first, last)
    world.clock.sleep(2 * STAY_S)
    delete_job(world.repository(), first.id)
    repository = world.repository()
    grave = repository.read_job_or_tombstone(first.id).doc
    assert grave.outcome == (Status.FAILED,)
    assert not clear(repository, grave).is_all
    world.worker().drain(until_s=200.0)
    Collector(repository).collect()
    assert world.listed(f"jobs/0000/{first.id}") == []


def test_tombstone_that_nobody_waits_for_goes_at_once(world):
    first = ended(world, 1)
    world.clock.sleep(2 * STAY_S)
    spent = cost(world, lambda: delete_job(world.repository(), first.id))
    assert world.listed("jobs/") == []
    assert spent["list"] == 2, "of its folder, and of those that depend on it"


def test_some_tasks_of_a_job_are_waited_for_and_judged_alone(world):
    parent = world.submit(world.job(1, type="early", n_tasks=30, part_rows=10)).job
    early = world.worker("early", types=("early",))
    numbers = iter(range(2, 99))

    def waits_for(*rows):
        depends_on = (parent_of(parent, rows=Rows.of(rows) if rows else None),)
        return world.submit(world.job(next(numbers), depends_on=depends_on, requires=("dependencies",))).job

    lease = early.find()
    bad = 10 * lease.index
    early.finish(lease, Verb.FAIL)
    lease = early.find()
    good, other = 10 * lease.index, next(n for n in (0, 10, 20) if n not in {bad, 10 * lease.index})
    one, both, none = waits_for(good, good + 7), waits_for(bad, good), waits_for(other)
    whole = waits_for()
    assert all(is_blocked(world, job) for job in (one, both, none, whole))
    assert not is_blocked(world, waits_for(bad + 3))
    assert world.statuses(world.job(6)) == {"failed": 1}
    early.finish(lease)
    worker = world.worker()
    worker.drain(until_s=900.0, idle_s=400.0)
    assert [world.statuses(job) for job in (one, both)] == [{"completed": 1}, {"failed": 1}]
    assert is_blocked(world, none)
    assert is_blocked(world, whole)
    early.drain(until_s=50.0)
    worker.drain(until_s=50.0)
    assert [world.statuses(job) for job in (none, whole)] == [{"completed": 1}, {"failed": 1}]


def test_tasks_that_an_order_will_put_back_have_not_ended(world):
    parent = ended(world, 1, Verb.FAIL, n_tasks=5, part_rows=10)
    held = world.repository().read_job(parent.id)
    order = control.Control(op="1", verb=control.ControlVerb.RETRY, at=world.now(), statuses=(Status.FAILED,))
    world.repository().update_job(
        parent.id, lambda doc: control.with_control(doc, order), applied=lambda doc: doc.gen > 1, held=held
    )
    depends_on = (parent_of(parent, rows=Rows.of([2])),)
    job = world.submit(world.job(2, depends_on=depends_on, requires=("dependencies",))).job
    assert is_blocked(world, job)
