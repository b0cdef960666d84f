"""Time-outs and concurrency with the thread executor."""

from __future__ import annotations

import asyncio
import threading

import pandas as pd
import pytest

import oqkit as oq
from oqkit.limits import WorkerLimits
from oqkit.queue.rows import Rows
from oqkit.task.handler import Handler
from oqkit.worker.call import Work
from oqkit.worker.running import Running
from tests.call import GATE, STARTED
from tests.local import WAIT_S, until

COROUTINES = WorkerLimits().coroutines

pytestmark = pytest.mark.usefixtures("gate")


def frame(n):
    return pd.DataFrame({"x": range(n)})


def stuck_at_two(x):
    STARTED.append(x)
    if x == 2:
        GATE.wait(WAIT_S)
    return x


@oq.task(batch=True)
def batch_stuck_at_two(part):
    STARTED.append(len(part))
    if (part["x"] == 2).any():
        GATE.wait(WAIT_S)
    return part["x"]


async def asleep_at_two(x):
    await asyncio.sleep(WAIT_S if x == 2 else 0.01)
    return x


async def all_together(x):
    """Wait until all are in progress."""
    STARTED.append(x)
    while len(STARTED) < COROUTINES:  # noqa: ASYNC110 - an event would need a loop that is not there yet
        await asyncio.sleep(0.01)
    return x


async def nap(x):
    await asyncio.sleep(0.1)
    return x


async def blocking(x):
    if x == 2:
        GATE.wait(WAIT_S)
    return x


@pytest.mark.parametrize(
    "function", (stuck_at_two, asleep_at_two, batch_stuck_at_two), ids=["row", "coroutine", "batch"]
)
def test_row_that_runs_past_its_timeout_is_given_up_alone(queue, start, function):
    start()
    job = queue.submit_frame(frame(5), function, timeout=0.2, retries=0, part_rows=5)
    result = job.result(WAIT_S, errors="coerce")
    assert result.iloc[:, 0].tolist() == [0, 1, pd.NA, 3, 4]
    (error,) = job.errors().itertuples()
    assert (error.row, error.type, error.attempt) == (2, "TimeoutError", 1)


def test_timeout_of_a_coroutine_says_how_long_it_had(queue, start):
    start()
    job = queue.submit_frame(frame(3), asleep_at_two, timeout=0.2, retries=0)
    job.wait(WAIT_S)
    assert job.errors()["message"].tolist() == ["still running after its time-out of 0.2 s"]


def test_timeout_of_a_row_says_how_long_it_had(queue, start):
    start()
    job = queue.submit_frame(frame(3), stuck_at_two, timeout=0.2, retries=0)
    job.wait(WAIT_S)
    assert job.errors()["message"].tolist() == ["still running after its time-out of 0.2 s"]


def test_row_that_timed_out_is_tried_again(queue, start):
    start()
    job = queue.submit_frame(frame(3), stuck_at_two, timeout=0.1, retries=1, backoff=0.01)
    job.wait(WAIT_S)
    assert STARTED.count(2) == 2
    assert job.errors()["attempt"].tolist() == [2]


def test_result_that_comes_after_the_timeout_is_not_used(queue, start):
    start()
    job = queue.submit_frame(frame(3), stuck_at_two, timeout=0.1, retries=0)
    job.wait(WAIT_S)
    GATE.set()
    assert queue.submit_frame(frame(2), stuck_at_two).result(WAIT_S)["stuck_at_two"].tolist() == [0, 1]
    assert job.errors()["row"].tolist() == [2]
    assert job.partial()["stuck_at_two"].tolist() == [0, 1]


def test_worker_goes_on_after_a_coroutine_that_blocks_the_others(queue, start):
    start()
    job = queue.submit_frame(frame(4), blocking, timeout=0.2, retries=0, part_rows=4)
    job.wait(WAIT_S)
    assert 2 in job.errors()["row"].tolist()
    assert queue.submit_frame(frame(2), nap).result(WAIT_S)["nap"].tolist() == [0, 1]


def test_coroutines_run_at_the_same_time(queue, start):
    start()
    job = queue.submit_frame(frame(COROUTINES), all_together, part_rows=COROUTINES)
    assert job.result(WAIT_S)["all_together"].tolist() == list(range(COROUTINES))


def test_coroutine_that_fails_costs_no_other(queue, start):
    async def pick(x):
        await asyncio.sleep(0)
        if x % 10 == 3:
            raise oq.PermanentError("three")
        return x

    start()
    job = queue.submit_frame(frame(40), pick, part_rows=40)
    assert job.result(WAIT_S, errors="drop")["pick"].tolist() == [x for x in range(40) if x % 10 != 3]


def test_leases_are_worked_off_at_once_with_concurrency(queue, start):
    start(concurrency=4)
    barrier_job = queue.submit_frame(frame(4), meet, part_rows=1)
    assert barrier_job.result(WAIT_S)["meet"].tolist() == [True] * 4


BARRIER = threading.Barrier(4)


def meet(x):
    BARRIER.wait(WAIT_S)
    return True


# --- stopping ------------------------------------------------------------------------------------


def test_stop_hands_back_what_was_not_started(queue, start):
    worker = start(oq.task(stuck_at_two), trust_code=False, grace_s=5)
    job = queue.submit_frame(frame(6)[2:], "stuck_at_two", part_rows=4)
    until(lambda: STARTED)
    worker.stop()
    threading.Timer(0.7, GATE.set).start()
    until(lambda: job.counts()["running"] == 0)
    assert job.counts()["completed"] == 1  # the call in progress had time to end
    assert job.tasks()["attempt"].tolist() == [1, 1, 1, 1]
    start(oq.task(stuck_at_two), trust_code=False)
    assert job.result(WAIT_S)["stuck_at_two"].tolist() == [2, 3, 4, 5]


def test_stop_gives_up_a_call_that_outlasts_the_grace(queue, start):
    worker = start(oq.task(stuck_at_two), trust_code=False, grace_s=0.2)
    job = queue.submit_frame(frame(3)[2:], "stuck_at_two", retries=0)
    until(lambda: STARTED)
    worker.stop()
    until(lambda: job.counts()["pending"] == 1)
    GATE.set()
    start(oq.task(stuck_at_two), trust_code=False)
    assert job.result(WAIT_S)["stuck_at_two"].tolist() == [2]


def test_run_until_idle_returns_when_no_job_has_work(queue):
    job = queue.submit_frame(frame(20), nap, delay=0.2)
    failing = queue.submit_frame(frame(1), "nobody")
    oq.Worker(queue, trust_code=True).run(until_idle=True)
    assert (job.status, failing.status) == ("completed", "pending")


def test_run_until_idle_returns_from_an_empty_queue(queue):
    oq.Worker(queue, trust_code=True).run(until_idle=True)
    assert queue.repository.store.requests.snapshot().total() <= 80, "it does not wait for the next look"


def test_worker_is_listed_with_what_it_did(queue):
    job = queue.submit_frame(frame(20), nap)
    worker = oq.Worker(queue, [oq.task(nap)], trust_code=True, concurrency=2, name="first")
    assert repr(worker) == "<oqkit worker first>"
    worker.run(until_idle=True)
    assert job.done()
    (row,) = queue.workers().reset_index().to_dict("records")
    assert (row["name"], row["rows"], row["stopped"], row["concurrency"]) == ("first", 20, True, 2)
    assert row["types"] == ["nap"]
    assert row["requests"]["put"] > 0
    assert row["started"] <= row["seen"]


# --- a process that stood still ------------------------------------------------------------------


class Nowhere:
    """An executor in which one row was started, and goes on for ever."""

    def start(self, work, buffer):
        buffer.taken = 1
        return self

    def stop(self, at):
        pass


def one_running(timeout_s):
    work = Work(
        handler=Handler(oq.task(lambda x: x)), job_id="j", mode="frame", first_task=0, rows=Rows.span(0, 3), inputs=None,
        attempts=(), worker="w", timeout_s=timeout_s, first_batch=1, max_batch=1, table=None,limits=WorkerLimits())  # fmt: skip
    running = Running(work, is_isolated=False, now=100.0)
    running.begin(Nowhere())
    assert not running.is_overdue(101.0)  # from here on it is known to be in progress
    return running


def test_time_in_which_the_whole_worker_stood_still_is_no_time_of_the_call():
    running = one_running(timeout_s=4.0)
    running.forgive(16.0)
    assert not running.is_overdue(120.9)
    assert running.is_overdue(121.0)


def test_wait_that_is_a_little_late_is_time_of_the_call():
    running = one_running(timeout_s=4.0)
    for _ in range(10):
        running.forgive(0.9)
    assert running.is_overdue(105.0)


def test_call_that_waits_for_the_answer_of_its_worker_is_not_late():
    """It asks for more time while the store is away, which is for longer than the time that it asks for."""
    running = one_running(timeout_s=4.0)
    with running.asking():
        assert not running.is_overdue(120.0)
        running.allow(126.0)
    assert not running.is_overdue(125.9)
    assert running.is_overdue(126.0)
