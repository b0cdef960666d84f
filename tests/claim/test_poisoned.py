"""Objects that cannot be understood are left alone, named once, and stop nobody."""

from __future__ import annotations

import contextlib

import pytest

from oqkit.errors import Unavailable
from oqkit.queue import control
from oqkit.queue import key as keys
from oqkit.queue.layout import SETTINGS, Settings
from oqkit.queue.rows import Rows
from oqkit.queue.submission import Submission
from tests.queue.faulty import FaultyStore, World

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


@pytest.mark.parametrize("shards", (1, 64))
def test_marker_of_a_layout_that_cannot_be_asked_for_is_neither_strange_nor_taken_down(shards, caplog):
    """The settings of the queue could not be read just then: its only marker was deleted, or left alone for ever."""
    world = World(shards=2)
    world.inner.create(keys.SETTINGS, SETTINGS.dump(Settings(shards=2)))
    store = FaultyStore(world.inner)
    worker, submitter = world.worker(repository=world.repository(store)), world.repository()
    submitter.layouts.reshard(submitter.loop, shards)
    job = world.job(id=keys.timed_job_id(world.now(), world.rng, layout=1), layout=1)
    Submission(submitter, job).commit(job)
    refused = []

    def refuse(_verb, key):
        if key == keys.SETTINGS and len(refused) < 3:
            refused.append(key)
            raise Unavailable("down")

    store.before_read = refuse
    while not worker.ran and world.clock.time_s < 2_000.0:
        with contextlib.suppress(Unavailable):  # as a worker does it, which then waits
            worker.step()
        world.clock.sleep(max(1.0, worker.claimer.wait_s()))
    assert refused
    assert sum(worker.ran.values()) == 1
    assert not [record for record in caplog.records if "left alone" in record.message]


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
