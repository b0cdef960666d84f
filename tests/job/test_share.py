"""How the rows of a part are shared: slow ones among all workers, quick ones not at all."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time

import pandas as pd
import pytest

import oqkit as oq
from oqkit.limits import Limits, TaskLimits, WorkerLimits
from oqkit.queue.transition import Verb
from oqkit.worker.buffer import TAKEN, ResultBuffer
from tests.local import WAIT_S, connect_with

CREW = 6


@pytest.fixture
def impatient(monkeypatch):
    """Let leases be looked at after a tenth of the usual time."""
    connect_with(Limits(task=TaskLimits(least_s=0.1)), monkeypatch)


def n_claims(job):
    return sum(event.verb is Verb.CLAIM for part in job._view.state.parts() for event in part.log)


class Crowd:
    """Keeps every call waiting until `CREW` of them are in progress."""

    def __init__(self) -> None:
        self._is_complete = threading.Event()
        self._n = itertools.count(1)

    def wait(self) -> None:
        """Wait with the others; fail if they do not come."""
        if next(self._n) == CREW:
            self._is_complete.set()
        assert self._is_complete.wait(WAIT_S), "the others did not come"


@pytest.mark.parametrize("n_rows", (CREW, 4 * CREW))
def test_rows_that_never_seem_to_end_run_on_all_workers_at_once(queue, start, n_rows):
    crowd = Crowd()

    @oq.task
    def meet(x):
        crowd.wait()
        return x

    for _ in range(CREW):
        start(meet)
    job = queue.submit_frame(pd.DataFrame({"x": range(n_rows)}), "meet", part_rows=n_rows, retries=0)
    assert job.result(WAIT_S)["meet"].tolist() == list(range(n_rows))


def test_batches_that_never_seem_to_end_run_on_all_workers_at_once(queue, start):
    crowd = Crowd()

    @oq.task(batch=True)
    def meet(frame):
        crowd.wait()
        return frame["x"]

    for _ in range(CREW):
        start(meet)
    n_rows = WorkerLimits().first_batch_rows + 16 * CREW
    job = queue.submit_frame(pd.DataFrame({"x": range(n_rows)}), "meet", part_rows=n_rows, retries=0)
    assert len(job.result(WAIT_S)) == n_rows


@pytest.mark.parametrize(("n_rows", "least", "most"), ((150, 1, 1), pytest.param(400, 2, 4, marks=pytest.mark.slow)))
def test_rows_that_are_soon_done_stay_together_and_one_worker_takes_few_leases(queue, start, n_rows, least, most):
    def nap(x):
        time.sleep(0.01)
        return x

    start(nap)
    job = queue.submit_frame(pd.DataFrame({"x": range(n_rows)}), nap, part_rows=n_rows)
    job.wait(WAIT_S)
    assert least <= n_claims(job) <= most


async def doze(x):
    await asyncio.sleep(0.4)
    return x


@oq.task(batch=True)
def ponder(frame):
    time.sleep(0.3)  # whatever the number of rows
    return frame["x"]


@pytest.mark.parametrize(("function", "part_rows"), ((doze, 64), (ponder, 8)))
def test_what_gains_nothing_from_small_leases_gets_no_small_ones(impatient, queue, start, function, part_rows):
    start(function)
    start(function)
    frame = pd.DataFrame({"x": range(2 * part_rows)})
    for _ in range(3):
        job = queue.submit_frame(frame, function, part_rows=part_rows, on_duplicate="rerun")
        job.wait(WAIT_S)
        assert n_claims(job) == 2


def test_rows_that_turn_out_slow_are_shared_although_the_first_were_quick(impatient, queue, start):
    crowd = Crowd()

    @oq.task
    def meet(x):
        if x >= 1000:
            crowd.wait()
        return x

    for _ in range(CREW):
        start(meet)
    queue.submit_frame(pd.DataFrame({"x": range(500)}), "meet", part_rows=50).wait(WAIT_S)
    job = queue.submit_frame(pd.DataFrame({"x": range(500, 1500)}), "meet", part_rows=1000, retries=0)
    assert job.result(WAIT_S)["meet"].tolist() == list(range(500, 1500))


def test_rows_that_went_back_are_not_started_after_all(queue, start, monkeypatch):
    """The runner goes on while the lease decides how far it may go: that must not let it go further than before."""
    is_quick, raised, limit = threading.Event(), [], ResultBuffer.limit

    def taken(self):
        number = self.meter[TAKEN]
        if sys._getframe(1).f_code.co_name == "keep":
            is_quick.set()
            time.sleep(0.1)
        return number

    def lower(self, number):
        raised.append(number > self.limit)
        limit.fset(self, number)

    monkeypatch.setattr(ResultBuffer, "taken", property(taken, ResultBuffer.taken.fset))
    monkeypatch.setattr(ResultBuffer, "limit", property(limit.fget, lower))

    @oq.task
    def crawl(x):
        is_quick.wait(0.01)
        return x

    start(crawl)
    job = queue.submit_frame(pd.DataFrame({"x": range(1000)}), "crawl", part_rows=1000, retries=0)
    assert job.result(WAIT_S)["crawl"].tolist() == list(range(1000))
    assert set(raised) == {False}
