"""What a worker does with functions: errors, time-outs, leases; and what a function knows."""

from __future__ import annotations

import signal
import time

import pytest

import oqkit
from tests.call import GATE, STARTED, gated
from tests.local import WAIT_S, keys_in, until, work_off


def test_error_is_retried_and_a_permanent_one_is_not(queue):
    calls = []

    def shaky(x):
        calls.append(x)
        if x == "never":
            raise oqkit.PermanentError("this will not work")
        if calls.count(x) < 3:
            raise ValueError("not yet")
        return calls.count(x)

    job = queue.map("shaky", ["thrice", "never"], retries=3, backoff=oqkit.Backoff(initial_s=0.01))
    until(lambda: work_off(queue, shaky) and job.done(), what="both end")
    assert (calls.count("thrice"), calls.count("never")) == (3, 1)
    assert job.counts()["completed"] == job.counts()["failed"] == 1
    assert job.errors()["message"].tolist() == ["this will not work"]


def test_call_that_takes_too_long_fails(queue):
    def endless(x):
        time.sleep(WAIT_S)

    task = queue.submit(endless, 1, timeout=0.2, retries=0)
    work_off(queue, executor="process")
    assert task.status == "failed"
    assert "0.2 s" in task.error()["message"]


def test_rescheduled_task_comes_back_without_using_up_a_retry(queue):
    calls = []

    def polite(x):
        calls.append(x)
        if calls.count(x) <= x:
            raise oqkit.Reschedule(0.01)
        return calls.count(x)

    job = queue.map("polite", [2, 5], retries=0, max_reschedules=3)
    until(lambda: work_off(queue, polite) and job.done(), what="both end")
    assert job.result(errors="drop")["polite"].tolist() == [3]
    assert (calls.count(2), calls.count(5)) == (3, 4)
    assert job.errors()["row"].tolist() == [1]


def test_skipped_task_completes_without_a_value(queue):
    def picky(x):
        if x is None:
            raise oqkit.Skip("empty")
        return x

    job = queue.map("picky", [1, None])
    work_off(queue, picky)
    assert job.status == "completed"
    assert job.result(WAIT_S)["picky"].isna().tolist() == [False, True]


def test_function_knows_its_task(queue):
    def tell(x, ctx: oqkit.Context):
        ctx.log.info("at work")
        return [ctx.task_id, ctx.job_id, ctx.attempt, ctx.cancelled]

    task = queue.submit("tell", 1)
    work_off(queue, tell)
    assert task.result(WAIT_S) == [task.id, task.job.id, 1, False]


def test_original_5_lease_is_renewed_while_a_function_runs(queue, start, gate):
    task = queue.submit(gated, 1)
    for _ in range(2):
        start(gated, queue=queue, lease_s=0.5)
    until(lambda: STARTED, what="the function runs")
    first = _lease(queue, task)
    until(lambda: _lease(queue, task).expires > first.expires + 1.0, what="it ran longer than two leases last")
    gate.set()
    assert task.result(WAIT_S) == 10
    assert (task.attempt, STARTED) == (1, [1])  # nobody took it over


def _lease(queue, task):
    (lease,) = queue.repository.read_part(queue.repository.read_job(task.job.id).doc, 0).doc.leases
    return lease


def test_worker_command_works_a_queue_off(queue, oq, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # a worker's handlers are not for this process
    job = queue.map(gated, [1])
    GATE.set()
    assert oq("worker", "tests.call:gated", "--until-idle", "--concurrency", "2", "--lease", "5") == ""
    assert job.result(WAIT_S)["gated"].tolist() == [10]


def test_queue_with_shards_is_worked_off(queue):
    queue = oqkit.connect(f"{queue.url}/sharded", shards=16)
    tasks = [queue.submit(gated, x) for x in range(20)]
    GATE.set()
    work_off(oqkit.connect(queue.url), gated)
    assert [task.result(WAIT_S) for task in tasks] == [10 * x for x in range(20)]
    assert len({entry.split("/")[1] for entry in keys_in(queue) if entry.startswith("jobs/")}) > 1
    with pytest.raises(oqkit.UsageError, match="was created with 16 shards"):
        oqkit.connect(queue.url, shards=8)
