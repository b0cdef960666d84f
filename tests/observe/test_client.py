"""What a client tells its observers: what it submits, and which orders it gives."""

from __future__ import annotations

import pandas as pd
import pytest

import oqkit as oq
from oqkit.client import connect
from oqkit.errors import DuplicateJob
from oqkit.observe.event import JobAttached, JobOrdered, JobSubmitted, LeaseEnded, WorkerStopped
from oqkit.queue.job import ControlVerb
from tests.local import WAIT_S

FRAME = pd.DataFrame({"x": range(10)})


@pytest.fixture
def told():
    return []


@pytest.fixture
def queue(monkeypatch, told):
    """A new queue whose client is observed."""
    monkeypatch.setattr(connect, "_default", [])
    return oq.connect("memory://observed", observers=[told.append])


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr("oqkit.store.memory.MemoryStore._named", {})


def double(x):
    return 2 * x


def heard(queue, told):
    """Return what was told since, and forget it."""
    queue.observers.flush(WAIT_S)
    events = list(told)
    told.clear()
    return events


def test_submission_is_told_once_it_is_stored_and_one_that_attaches_as_that(queue, told):
    job = queue.submit_frame(FRAME, double, tags={"team": "a"})
    (event,) = heard(queue, told)
    assert isinstance(event, JobSubmitted)
    assert (event.job.id, event.job.n_tasks, event.job.tags) == (job.id, 10, {"team": "a"})
    assert event.took_s >= 0.0
    assert event.at <= queue.repository.now()
    queue.submit_frame(FRAME, double, tags={"team": "a"})
    (event,) = heard(queue, told)
    assert isinstance(event, JobAttached)
    assert event.job.id == job.id
    queue.submit_frame(FRAME, double, tags={"team": "a"}, on_duplicate="rerun")
    assert [type(event) for event in heard(queue, told)] == [JobSubmitted]
    with pytest.raises(DuplicateJob):
        queue.submit_frame(FRAME, double, tags={"team": "a"}, on_duplicate="raise")
    assert heard(queue, told) == []


def test_single_task_with_a_key_is_told_alike(queue, told):
    for expected in ([JobSubmitted], [JobAttached]):
        queue.submit(double, {"x": 1}, key="k")
        assert [type(event) for event in heard(queue, told)] == expected
    with pytest.raises(DuplicateJob):
        queue.submit(double, {"x": 2}, key="k")
    assert heard(queue, told) == []


def test_orders_are_told_with_how_many_tasks_they_moved(queue, told):
    job = queue.submit_frame(FRAME, double)
    heard(queue, told)
    job.pause(reason="look first")
    job.resume()
    job.cancel([1, 2, 3], reason="not these")
    job.retry("cancelled")
    assert job.retry() == 0  # nothing to do, so no order
    events = heard(queue, told)
    assert all(isinstance(event, JobOrdered) for event in events)
    assert [(event.verb, event.n_tasks, event.reason) for event in events] == [
        (ControlVerb.PAUSE, 0, "look first"),
        (ControlVerb.RESUME, 0, ""),
        (ControlVerb.CANCEL, 3, "not these"),
        (ControlVerb.RETRY, 3, ""),
    ]
    assert [event.job.gen for event in events] == [2, 3, 4, 5]


def test_orders_by_any_handle_of_the_queue_are_told(queue, told):
    job = queue.submit_frame(FRAME, double)
    heard(queue, told)
    queue.job(job.id).cancel([0])
    queue.get(f"{job.id}.1").cancel()
    assert [event.n_tasks for event in heard(queue, told)] == [1, 1]


def test_observers_of_a_queue_are_told_what_its_workers_here_do_and_those_of_a_worker_that_alone(queue, told):
    queue.submit_frame(FRAME, double)
    own = []
    oq.Worker(queue, [double], observers=[own.append]).run(until_idle=True)
    oq.Worker(queue, [double]).run(until_idle=True)
    events = heard(queue, told)
    assert sum(isinstance(event, WorkerStopped) for event in events) == 2
    assert sum(event.n_finished for event in events if isinstance(event, LeaseEnded)) == 10
    assert sum(isinstance(event, WorkerStopped) for event in own) == 1
    assert not any(isinstance(event, JobSubmitted) for event in own)
