"""One thread watches all futures: what it asks, and what it bears."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import CancelledError

import pytest

import oqkit
from oqkit.door.future_watch import LOOK_JOBS
from oqkit.errors import Unavailable
from tests.local import WAIT_S, until


def same(x):
    return x


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "oqkit-futures"]


def test_there_is_one_thread_while_there_is_something_to_do(queue, start):
    executor = oqkit.Executor(queue)
    futures = [executor.submit(same, x) for x in range(50)]
    assert len(watchers()) == 1
    start()
    assert [future.result(WAIT_S) for future in futures] == list(range(50))
    until(lambda: not watchers(), what="a thread goes on with nothing to do")
    assert executor.submit(same, 7).result(WAIT_S) == 7
    executor.shutdown()


class Looks:
    """Counts what a queue is asked in each look at jobs."""

    def __init__(self, executor, monkeypatch):
        self.requests = []
        watch, store = executor._watch, executor.queue.repository.store
        look = watch._look

        def counted():
            before = store.requests.snapshot()
            found = look()
            self.requests.append(store.requests.snapshot() - before)
            return found

        monkeypatch.setattr(watch, "_look", counted)


def test_a_look_costs_the_same_however_many_futures_there_are(queue, monkeypatch):
    executor = oqkit.Executor(queue)
    looks = Looks(executor, monkeypatch)
    results = executor.map(same, range(2000))
    until(lambda: len(looks.requests) > 3)
    assert max(found.total() for found in looks.requests[1:]) <= 2, "one job: a LIST"
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(CancelledError):
        next(results)


def test_a_look_asks_for_a_few_jobs_and_in_the_end_for_all(queue, monkeypatch, start):
    executor = oqkit.Executor(queue, name="many")
    looks = Looks(executor, monkeypatch)
    futures = [executor.submit(same, x) for x in range(5 * LOOK_JOBS)]
    executor._watch.flush()
    until(lambda: len(looks.requests) > 6)
    assert len({future.job.id for future in futures}) == len(futures), "each is known by its own key"
    assert max(found["get"] + found["list"] for found in looks.requests) <= 3 * LOOK_JOBS
    start()
    assert [future.result(WAIT_S) for future in futures] == list(range(len(futures)))
    executor.shutdown()


def test_store_that_is_away_ends_no_future(queue, start, monkeypatch, caplog):
    executor = oqkit.Executor(queue)
    future = executor.submit(same, 3)
    executor._watch.flush()
    job, n = future.job, Counter()

    def away():
        n["asked"] += 1
        raise Unavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(job, "_refresh", away)
        until(lambda: n["asked"] > 2)
        assert not future.done()
        assert caplog.text.count("does not answer") == 1
    start()
    assert future.result(WAIT_S) == 3
    executor.shutdown()


def test_call_that_cannot_be_stored_fails_its_future(queue, monkeypatch):
    executor = oqkit.Executor(queue)

    def refused(*_, **__):
        raise oqkit.Denied("no right to write")

    monkeypatch.setattr(queue.submitter, "submit_single", refused)
    future = executor.submit(same, 3)
    with pytest.raises(oqkit.Denied):
        future.result(WAIT_S)
    with pytest.raises(oqkit.Denied):
        _ = future.task
    assert not future.cancel()
    executor.shutdown()


def test_future_of_a_job_that_was_deleted_says_so(queue):
    executor = oqkit.Executor(queue)
    future = executor.submit(same, 3)
    future.job.delete(cancel=True)
    until(future.done)
    assert future.cancelled() or isinstance(future.exception(), oqkit.UnknownJob)
    executor.shutdown()


SCRIPT = """
import sys, oqkit
futures = [oqkit.Executor(oqkit.connect(sys.argv[1])).submit(len, "x" * n) for n in range(3)]
"""


def test_program_that_ends_has_stored_its_calls(folder_queue, start):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder_queue.url], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert folder_queue.jobs()["tasks"].sum() == 3
    start(queue=folder_queue)
    assert sorted(
        oqkit.Executor(folder_queue).future(f"{job}.{row}").result(WAIT_S)
        for job, n in folder_queue.jobs()["tasks"].items()
        for row in range(n)
    ) == [0, 1, 2]
