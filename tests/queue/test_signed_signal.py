"""A worker that runs signed jobs only takes signals from those alone who have the key."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from oqkit.queue import control
from oqkit.queue.document import dump_job, load_job
from oqkit.queue.key import job_key
from oqkit.queue.rows import Rows
from oqkit.queue.signal_seal import signals_taken
from tests.queue.test_signed_job import OURS, THEIRS, ring, submit, submitter, verifying_worker


def send(world, job, repository, value="1", **more):
    return control.signal(repository, job.id, name="go", value=value, **more)


def taken(world, job, row=0, secret=OURS):
    """Return what a worker with a key takes of what stands in the bucket."""
    repository = world.repository().verifying(ring(secret))
    return signals_taken(repository, repository.read_job(job.id).doc, "go", row, since=0)


def edit(world, job, change):
    """Do to the orders of a job what somebody does who can write the bucket."""
    key = job_key(job.id, 1)
    doc = load_job(world.inner.read(key).data, key=key)
    world.inner.overwrite(key, dump_job(replace(doc, controls=change(doc.controls))))


def test_signal_of_who_has_the_key_is_taken(world):
    job = submit(world)
    send(world, job, submitter(world), "1")
    send(world, job, submitter(world), "2", rows=Rows.of([0]))
    assert taken(world, job) == ["1", "2"]


def test_signal_of_somebody_else_is_not_taken_and_that_is_said(world, caplog):
    """[V] a payment was made because somebody without the key had approved it."""
    job = submit(world)
    send(world, job, world.repository(), "1")
    with caplog.at_level(logging.WARNING):
        send(world, job, submitter(world, THEIRS), "2")
        assert "was signed with another key than the signal 'go' to it" in caplog.text
    send(world, job, submitter(world), "3")
    with caplog.at_level(logging.WARNING):
        assert taken(world, job) == ["3"]
    assert f"signal 'go' to job {job.id} has no valid signature for this worker: it is not signed" in caplog.text


def test_worker_without_keys_takes_every_signal(world):
    job = submit(world)
    send(world, job, world.repository())
    send(world, job, submitter(world, THEIRS), "2")
    repository = world.repository()
    assert signals_taken(repository, repository.read_job(job.id).doc, "go", 0, since=0) == ["1", "2"]


@pytest.mark.parametrize(
    "change",
    (
        lambda orders: (replace(orders[0], value="9"), *orders[1:]),
        lambda orders: (replace(orders[0], rows=Rows.of([0])), *orders[1:]),
        lambda orders: (orders[1], orders[0], *orders[2:]),
        lambda orders: (replace(orders[1], name="go"), *orders[1:]),
    ),
    ids=("value", "rows", "place", "name"),
)
def test_signal_that_was_changed_since_is_not_taken(world, change):
    job = submit(world)
    send(world, job, submitter(world), "1")
    control.signal(submitter(world), job.id, name="stop", value="2")
    assert taken(world, job) == ["1"]
    edit(world, job, change)
    assert taken(world, job) == []


def test_signal_that_was_copied_is_none_in_another_place_or_job(world):
    job, other = submit(world), submit(world, number=2)
    given = send(world, job, submitter(world)).controls
    edit(world, job, lambda orders: (*orders, *given))
    assert taken(world, job) == ["1"]
    edit(world, other, lambda orders: given)
    assert taken(world, other) == []


def test_worker_gives_a_task_what_is_signed(world):
    job = submit(world)
    lease = verifying_worker(world).find()
    send(world, job, world.repository(), "1")
    send(world, job, submitter(world), "2")
    assert lease.signals(lease.read_job(), "go", 0, since=0) == ["2"]
