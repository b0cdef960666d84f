"""Limits over all workers: how many calls start in a time, how many run at once, how much may be submitted."""

from __future__ import annotations

import json
import threading
import time

import pytest

import oqkit
from tests.local import WAIT_S, until, work_off

STARTS: list[float] = []
"""When calls began, by this machine's clock."""
GATE = threading.Event()


class Running:
    """How many calls run, and how many did at most."""

    def __init__(self) -> None:
        self.n = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.n += 1
            self.most = max(self.most, self.n)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.n -= 1


RUNNING = Running()


@oqkit.task
def ask(x):
    STARTS.append(time.monotonic())
    return x


@oqkit.task(rate_limit="60/min")
def ask_slowly(x):
    STARTS.append(time.monotonic())
    return x


@oqkit.task
def fail_once(x, ctx: oqkit.Context):
    STARTS.append(time.monotonic())
    if ctx.attempt == 1:
        raise ValueError("not now")
    return x


@oqkit.task
async def ask_async(x):
    STARTS.append(time.monotonic())
    return x


@oqkit.task(batch=True)
def ask_batch(frame):
    STARTS.append(time.monotonic())
    return frame


@oqkit.task(max_concurrency=3)
def hold(x):
    with RUNNING:
        time.sleep(0.1)
    return x


@oqkit.task
def wait_for_gate(x):
    GATE.wait(WAIT_S)
    return x


@pytest.fixture(autouse=True)
def _fresh():
    STARTS.clear()
    GATE.clear()
    RUNNING.most = 0
    yield
    GATE.set()


def check_rate(*, per_s, n):
    """In no stretch of time did more calls start than in two windows, and then what the rate gives; `n` calls in all."""
    starts = sorted(STARTS)
    assert len(starts) == n
    window_n = 5.0 * per_s
    for first in range(n):
        for last in range(first, n):
            assert last - first + 1 <= 2 * window_n + per_s * (starts[last] - starts[first]) + 1
    assert starts[-1] - starts[0] >= (n - 2 * window_n - 1) / per_s


@pytest.mark.slow
@pytest.mark.parametrize("function", (ask_slowly, ask_async), ids=["rows", "coroutines"])
def test_calls_start_no_faster_than_the_rate_limit(queue, start, function):
    for _ in range(3):
        start(function, queue=queue)
    job = queue.map(function, [{"x": n} for n in range(18)], part_rows=3, rate_limit="60/min")
    assert job.result(WAIT_S).iloc[:, 0].tolist() == list(range(18))
    check_rate(per_s=1.0, n=18)


@pytest.mark.slow
def test_calls_in_a_child_process_start_no_faster_than_the_rate_limit(queue, start):
    start(ask_at, queue=queue, executor="process")
    job = queue.map(ask_at, [{"x": n} for n in range(14)], rate_limit="60/min")
    STARTS.extend(job.result(WAIT_S).iloc[:, 0])
    check_rate(per_s=1.0, n=14)


@oqkit.task
def ask_at(x):
    return time.monotonic()


def test_two_jobs_share_the_limit_of_their_type_and_retries_are_starts(queue):
    jobs = [queue.map(fail_once, [{"x": n}, {"x": -n}], rate_limit="600/min", backoff=0.0) for n in (1, 2)]
    work_off(queue, fail_once)
    assert all(job.status == "completed" for job in jobs)
    assert [entry.key for entry in queue.storage.list("limits/").entries] == ["limits/rate/fail_once.json"]
    grants = json.loads(queue.storage.read("limits/rate/fail_once.json").data)["grants"]
    assert sum(grant["n"] for grant in grants) >= len(STARTS) == 8


def test_batch_call_is_one_start_whatever_its_rows(queue):
    job = queue.map(ask_batch, [{"x": n} for n in range(500)], rate_limit="60/min api", part_rows=500)
    work_off(queue, ask_batch)
    assert job.result(0)["x"].tolist() == list(range(500))
    assert 1 <= len(STARTS) <= 5
    assert queue.storage.read("limits/rate/api.json")


def test_no_more_calls_run_at_once_than_allowed(queue, start):
    for _ in range(3):
        start(hold, queue=queue, concurrency=3)
    jobs = [queue.map(hold, [{"x": n} for n in range(12)], part_rows=2) for _ in range(2)]
    for job in jobs:
        assert job.result(WAIT_S).iloc[:, 0].tolist() == list(range(12))
    assert RUNNING.most == 3


def test_a_job_may_have_a_lower_limit_than_its_type(queue, start):
    for _ in range(2):
        start(hold, queue=queue, concurrency=3)
    task = queue.map(hold, [{"x": n} for n in range(6)], part_rows=1, max_concurrency=1)
    assert task.options.max_concurrency == 1
    task.wait(WAIT_S)
    assert RUNNING.most == 1


def test_other_work_goes_on_while_a_job_waits_for_its_limit(queue, start):
    limited = queue.map(ask, [{"x": n} for n in range(10)], rate_limit="1/d")
    start(ask, wait_for_gate, queue=queue)
    GATE.set()
    assert queue.submit(wait_for_gate, 7).result(WAIT_S) == 7
    assert until(lambda: limited.counts()["completed"] <= 1 and limited.counts()["running"] == 0)
    assert until(lambda: "rate limit of 1/d" in limited.why())


def test_a_limited_job_is_left_alone_by_workers_that_do_not_know_limits(queue):
    task = queue.submit(ask, {"x": 1}, rate_limit="100/min openai")
    stored = json.loads(queue.storage.read(next(iter(queue.storage.list("jobs/").entries)).key).data)
    assert stored["requires"] == ["limits"]
    assert stored["limits"] == [{"name": "rate/openai", "most": 100, "per_s": 60.0}]
    assert task.options.rate_limit == "100/min openai"


def test_submission_to_a_full_queue_raises_or_waits(queue, start):
    for n in range(2):
        queue.submit(wait_for_gate, n, max_pending=2)
    with pytest.raises(oqkit.QueueFull, match="on_full='wait'") as caught:
        queue.submit(wait_for_gate, 2, max_pending=2)
    assert (caught.value.n_open, caught.value.max_pending, caught.value.job_type) == (2, 2, "wait_for_gate")
    waiting = threading.Thread(target=lambda: queue.submit(wait_for_gate, 3, max_pending=2, on_full="wait"))
    waiting.start()
    start(wait_for_gate, queue=queue)
    GATE.set()
    waiting.join(WAIT_S)
    assert not waiting.is_alive()
    assert until(lambda: len(queue.jobs(status="completed")) == 3)


def test_limits_are_given_on_the_command_line(queue, oq):
    oq("submit", "ask", '{"x": 1}', "--rate-limit", "100/min", "--max-concurrency", "2", "--max-pending", "1")
    said = oq("submit", "ask", '{"x": 1}', "--max-pending", "1", "--on-full", "raise", code=1)
    assert "max_pending=1" in said
    (stored,) = [json.loads(queue.storage.read(entry.key).data) for entry in queue.storage.list("jobs/").entries]
    assert [limit["most"] for limit in stored["limits"]] == [100, 2]


def test_bad_limits_are_refused_before_anything_is_written(queue):
    for options in ({"rate_limit": "fast"}, {"max_concurrency": 0}, {"max_pending": 0}, {"on_full": "drop"}):
        with pytest.raises(oqkit.UsageError, match=next(iter(options))):
            queue.submit(ask, {"x": 1}, **options)
    assert not queue.storage.list("jobs/").entries


def test_what_is_kept_of_a_limit_goes_with_its_job_or_when_nobody_uses_it(queue, oq):
    def names():
        return [entry.key for page in queue.storage.list_all("limits/") for entry in page.entries]

    job = queue.map(ask, [1, 2], max_concurrency=2, rate_limit="600/min")
    work_off(queue, ask)
    assert len(names()) == 2
    job.delete()
    assert names() == ["limits/rate/ask.json"]
    assert "limit" not in set(queue.gc(dry_run=True)["kind"]), "it was used a moment ago"
    assert "rate/ask" not in oq("gc", "--dry-run")
