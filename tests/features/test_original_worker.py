"""The faults of the original's worker that were measured, and do not come back: docs/evidence/original_faults.md."""

from __future__ import annotations

import datetime as dt
import inspect
import logging
import pickle
import signal

import pytest

import oqkit
from oqkit.observe.event import LeaseCommitted
from oqkit.queue.transition import Verb
from tests.call import GATE, STARTED, gated
from tests.local import WAIT_S, names_below, until, work_off


@oqkit.task
def same(x):
    return x


def test_original_0_1_five_workers_run_each_of_a_hundred_tasks_once(queue, start):
    """That went right there, and is to stay so."""
    calls = []

    def note(x):
        calls.append(x)
        return x

    job = queue.map("note", range(100), part_rows=1)
    for _ in range(5):
        start(note, queue=queue)
    assert job.result(WAIT_S)["note"].tolist() == list(range(100))
    assert sorted(calls) == list(range(100))


@pytest.mark.parametrize("executor", ("thread", "process"))
def test_original_5_call_that_takes_too_long_fails_and_no_success_is_told(queue, gate, executor):
    worker, told = oqkit.Worker(queue, [gated], executor=executor), []
    worker.on_success(told.append)
    task = queue.submit(gated, 1, timeout=0.2, retries=0)
    worker.run(until_idle=True)
    assert (task.status, task.error()["type"]) == ("failed", "TimeoutError")
    gate.set()
    assert told == []


def test_original_0_2_worker_logs_what_it_does(queue, oq, gate, monkeypatch, caplog):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a worker's handlers are not for this process

    def other(x):
        return x

    queue.map(oqkit.task(name="gated")(other), [1], name="another function")
    gate.set()
    with caplog.at_level(logging.INFO, "oqkit"):
        oq("worker", "tests.call:gated", "--until-idle")
    (name,) = queue.workers().index
    assert f"worker {name} on {queue.url}" in caplog.text
    assert "job another function (gated) is left to other workers" in caplog.text


def test_original_1_11_completed_failed_and_retried_calls_and_their_time_are_told(queue):
    told, calls = [], []

    def moody(x):
        calls.append(x)
        if x == "never":
            raise oqkit.PermanentError(x)
        if x == "once more" and calls.count(x) == 1:
            raise ValueError(x)
        return x

    worker = oqkit.Worker(queue, [moody], observers=[told.append])
    job = queue.map("moody", ["well", "never", "once more"], backoff=oqkit.Backoff(initial_s=0.01))
    worker.run(until_idle=True)
    until(lambda: work_off(queue, moody, observers=[told.append]) and job.done())
    commits = [event for event in told if isinstance(event, LeaseCommitted)]
    counted = {verb: sum(len(event.rows.get(verb, ())) for event in commits) for verb in Verb}
    assert (counted[Verb.COMPLETE], counted[Verb.FAIL], counted[Verb.RETRY]) == (2, 1, 1)
    assert all(event.run_s >= 0.0 for event in commits)


def test_original_2_history_is_whole_in_a_bucket_without_versions(queue):
    calls = []

    def second_time(x):
        calls.append(x)
        if len(calls) == 1:
            raise ValueError("not yet")
        return x

    task = queue.submit("second_time", 1, backoff=oqkit.Backoff(initial_s=0.01))
    until(lambda: work_off(queue, second_time) and task.done())
    assert queue.history(task.id)["status"].tolist() == ["pending", "running", "pending", "running", "completed"]


def test_original_5_stale_index_entries_are_removed_by_the_worker(queue):
    stale = [queue.submit(same, x).job.id for x in range(12)]
    for name in names_below(queue.storage, "jobs/"):
        queue.storage.delete(name)
    work_off(queue, same)
    assert [name for name in names_below(queue.storage, "open/") if any(job in name for job in stale)] == []


def test_original_5_heartbeat_goes_on_while_a_task_runs(queue, start, gate):
    """There, a worker was silent for as long as its task took, and looked dead."""
    start(gated, queue=queue, lease_s=0.5)
    task = queue.submit(gated, 1)
    until(lambda: STARTED, what="it runs")
    part = f"-{task.job.id}/parts/0000000.json"
    (key,) = (name for name in names_below(queue.storage, "work/") if name.endswith(part))
    seen = {queue.storage.read(key).etag}
    until(lambda: seen.add(queue.storage.read(key).etag) or len(seen) >= 4, what="it says three times that it lives")
    assert STARTED == [1]
    gate.set()
    assert task.result(WAIT_S) == 10


def test_original_5_report_of_a_worker_that_is_gone_is_removed(queue, monkeypatch):
    work_off(queue, same)
    gone = queue.workers().index.tolist()
    assert len(gone) == 1
    assert len(queue.gc()) == 0, "it stays for a day, for people to look at"
    now = queue.repository.store.server.now
    monkeypatch.setattr(queue.repository.store.server, "now", lambda: now() + 90_000.0)
    assert queue.gc(dry_run=True)[["kind", "objects"]].to_numpy().tolist() == [["workers", 1]]
    assert queue.workers().index.tolist() == gone
    assert queue.gc()[["kind", "objects"]].to_numpy().tolist() == [["workers", 1]]
    assert queue.workers().empty


def test_original_5_worker_is_no_coroutine_that_can_be_cancelled_but_stops_and_hands_back(queue, start, gate):
    """There, `run` was to be awaited, and who cancelled it left what it held."""
    assert not inspect.iscoroutinefunction(oqkit.Worker.run)
    job = queue.map(gated, range(3), part_rows=3)
    worker = start(gated, queue=queue)
    until(lambda: STARTED, what="it runs")
    worker.stop()
    until(lambda: job.counts()["running"] <= 1, what="what has not begun goes back")
    GATE.set()
    start.stop()
    assert queue.workers()["stopped"].tolist() == [True]
    assert job.counts()["running"] == 0
    work_off(queue, gated)
    assert job.result(WAIT_S)["gated"].tolist() == [0, 10, 20]


def test_original_8_task_is_a_value_and_its_times_are_times(queue):
    def step(x, ctx: oqkit.Context):
        ctx.progress(1, 2, "half")
        return x

    task = queue.submit("step", 1)
    assert pickle.loads(pickle.dumps(task)) == task
    assert len({task, queue.get(task.id)}) == 1
    work_off(queue, step)
    assert task.wait(WAIT_S).status == "completed"
    times = (task.created, task.started, task.completed)
    assert all(isinstance(one, dt.datetime) and one.tzinfo is not None for one in times)
    assert list(times) == sorted(times)
