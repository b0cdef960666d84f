"""A worker runs as many coroutines at once as it may, however they came to it."""

from __future__ import annotations

import asyncio
import threading

import pandas as pd
import pytest

import oqkit as oq
from oqkit.limits import WorkerLimits
from tests.local import WAIT_S, until

N = WorkerLimits().coroutines


class Meeting:
    """Keeps every coroutine waiting until so many are there at once."""

    def __init__(self, n):
        self.n_wanted = n
        self.n_there = self.n_most = 0
        self._lock = threading.Lock()
        self._is_complete = threading.Event()

    async def join(self):
        with self._lock:
            self.n_there += 1
            self.n_most = max(self.n_most, self.n_there)
            if self.n_there >= self.n_wanted:
                self._is_complete.set()
        while not self._is_complete.is_set():  # noqa: ASYNC110 - they are in several loops
            await asyncio.sleep(0.005)
        with self._lock:
            self.n_there -= 1


@pytest.fixture
def meeting():
    return Meeting(N)


@pytest.fixture
def meet(meeting):
    async def meet(x):
        await meeting.join()
        return x

    return oq.task(meet)


def test_coroutines_of_one_job_by_type_name_run_at_once(queue, start, meet):
    start(meet)
    job = queue.map("meet", [{"x": n} for n in range(N)])
    assert len(job.wait(WAIT_S)) == N
    assert job.counts()["completed"] == N


def test_frame_of_coroutines_by_type_name_runs_at_once(queue, start, meet):
    start(meet)
    job = queue.submit_frame(pd.DataFrame({"x": range(N)}), "meet")
    assert job.result(WAIT_S)["meet"].tolist() == list(range(N))


def test_single_coroutines_run_at_once(queue, start, meet):
    start(meet)
    tasks = [queue.submit("meet", {"x": n}) for n in range(N)]
    assert [task.result(WAIT_S) for task in tasks] == list(range(N))


def test_coroutines_of_several_types_and_jobs_fill_up_one_worker(queue, start, meet, meeting):
    async def other(x):
        await meeting.join()
        return -x

    start(meet, oq.task(other))
    jobs = [
        queue.map(name, [{"x": n} for n in range(8)], name=f"{name}-{k}")
        for name in ("meet", "other")
        for k in range(4)
    ]
    for job in jobs:
        job.wait(WAIT_S)
    assert meeting.n_most == N


def test_every_slot_has_room_for_as_many(queue, start, meet, meeting):
    meeting.n_wanted = 2 * N
    start(meet, concurrency=2)
    job = queue.map("meet", [{"x": n} for n in range(2 * N)], part_rows=5)
    job.wait(WAIT_S)
    assert meeting.n_most == 2 * N


def test_no_more_run_at_once_than_may(queue, start, meet, meeting):
    gate = threading.Event()

    async def held(x):
        with meeting._lock:
            meeting.n_there += 1
            meeting.n_most = max(meeting.n_most, meeting.n_there)
        while not gate.is_set():  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.005)
        with meeting._lock:
            meeting.n_there -= 1
        return x

    worker = start(oq.task(held))
    job = queue.map("held", [{"x": n} for n in range(3 * N)], part_rows=8)
    until(lambda: meeting.n_there >= N)
    assert not worker._source.has_room
    gate.set()
    job.wait(WAIT_S)
    assert meeting.n_most <= N + 8
    until(lambda: not worker._more.threads)


def test_functions_that_are_no_coroutines_get_no_further_slot(queue, start, meet, meeting):
    meeting.n_wanted = 2
    n_at_once, n_most, lock = 0, 0, threading.Lock()

    def plain(x):
        nonlocal n_at_once, n_most
        with lock:
            n_at_once += 1
            n_most = max(n_most, n_at_once)
        with lock:
            n_at_once -= 1
        return x

    start(meet, oq.task(plain), concurrency=2)
    jobs = [
        queue.map("plain", [{"x": n} for n in range(40)], part_rows=1),
        queue.map("meet", [{"x": n} for n in range(2)], part_rows=1),
    ]
    for job in jobs:
        job.wait(WAIT_S)
    assert n_most <= 2


def test_coroutines_that_are_to_stop_are_left_after_the_grace_time(queue, start, meet, meeting):
    meeting.n_wanted = 10 * N  # they never meet
    worker = start(meet)
    job = queue.map("meet", [{"x": n} for n in range(N)])
    until(lambda: meeting.n_there == N)
    worker.stop()
    until(lambda: job.counts()["running"] == 0)
    assert job.counts()["pending"] == N
    assert {part.state_at(0).used for part in job._view.state.parts()} == {0}, (
        "and may be run again as if they had not begun"
    )


def test_worker_that_runs_until_there_is_nothing_left_waits_for_coroutines(queue, meet, meeting):
    job = queue.map("meet", [{"x": n} for n in range(N)])
    oq.Worker(queue, [meet]).run(until_idle=True)
    assert job.counts()["completed"] == N
