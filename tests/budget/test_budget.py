"""The budgets of the design (§8), by counting requests: no noise can move them.

A worker also writes its record when it starts and when it stops, and every minute between: `RECORDS`
PUTs for the short runs here, which are no part of the budgets.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import oqkit as oq
from oqkit.limits import QueueLimits
from oqkit.queue.part import Lease, claim
from oqkit.queue.view import JobView
from oqkit.store.memory import MemoryStore
from oqkit.store.price import dollars
from oqkit.store.s3 import S3Store
from tests.budget.conftest import MemorySite
from tests.budget.idler import Idler

pytestmark = [pytest.mark.timeout(200), pytest.mark.xdist_group("budget")]

RECORDS = 2
MILLION = 1_000_000
MONTH_S = 30 * 86_400.0


@oq.task
def add(x: int, y: int) -> int:
    return x + y


@oq.task
def length(text: str) -> int:
    return len(text)


@oq.task
def rest(a: float, b: int) -> None:
    pass


@oq.task(batch=True)
def total(frame: pd.DataFrame) -> pd.Series:
    return frame["a"] + frame["b"]


def frame_of(n):
    numbers = np.arange(n)
    return pd.DataFrame({"a": numbers * 0.5, "b": numbers, "c": np.char.add("row-", numbers.astype(str))})


def work(site, queue, functions, *, trust_code=False, looks=True):
    """Let one worker do all there is, and return its requests but for its two records.

    Without `looks` it lists once and never asks the doorbell, which is the price of waiting, not of working.
    """
    if not looks:
        queue.repository.store.poll_s = 1_000.0
    worker = oq.Worker(queue, functions, trust_code=trust_code)
    requests = site.measure(queue, lambda: worker.run(until_idle=True))
    requests["put"] -= RECORDS
    return requests


# --- submitting ----------------------------------------------------------------------------------


def test_submit_costs_two_writes_and_a_ring_a_second(site, show):
    queue, n = site.queue(), 20
    first = site.measure(queue, lambda: queue.submit(add, {"x": 1, "y": 2}))
    assert first == {"put": 3}
    began = time.monotonic()
    more = site.measure(queue, lambda: [queue.submit(add, {"x": 1, "y": 2}, key=f"{i}") for i in range(n)])
    n_rings = more["put"] - 2 * n
    assert set(more) == {"put"}
    assert 0 <= n_rings <= time.monotonic() - began + 1
    show(f"submit: {dict(first)}, then {n} more within {time.monotonic() - began:.1f} s: {dict(more)}")


def test_submit_frame_of_a_million_rows_costs_four_requests(site, show):
    queue, frame = site.queue(), frame_of(MILLION)
    first = site.measure(queue, lambda: queue.submit_frame(frame, total))
    assert first == {"put": 4}

    def shipped(a, b):
        return a + b

    new = site.measure(queue, lambda: queue.submit_frame(frame[:1000], shipped))
    assert new["put"] <= 5
    assert set(new) == {"put"}
    known = site.measure(queue, lambda: queue.submit_frame(frame[:2000], shipped))
    assert known["put"] <= 4
    assert set(known) == {"put"}
    show(f"1,000,000 rows: {dict(first)}; by value: {dict(new)}, once more: {dict(known)}")


# --- working -------------------------------------------------------------------------------------


def test_single_tasks_cost_two_writes_two_reads_and_a_delete(site, show):
    client, queue, n = site.queue(), site.queue(), 200
    tasks = [client.submit(add, {"x": x, "y": 1}) for x in range(n)]
    requests = work(site, queue, [add])
    assert [tasks[x].result(1) for x in (0, n - 1)] == [1, n]
    assert requests["put"] == 2 * n
    assert requests["delete"] <= (n if isinstance(queue.repository.store, MemoryStore) else 0.1 * n)
    assert requests["get"] <= 2 * n
    assert requests["list"] <= 0.1 * n
    show(f"{n} single tasks: {dict(requests)}: {requests.total() / n:.2f} a task")


@pytest.mark.parametrize("n_bytes", (10, 3_000_000), ids=["small", "large"])
def test_reference_costs_one_write_to_submit_and_one_read_to_run(site, n_bytes):
    found, text = {}, random.Random(1).randbytes(n_bytes).hex()  # which does not become small as Parquet
    for payload in ("inline", "reference"):
        client, queue = site.queue(), site.queue()
        submitting = site.measure(client, lambda c=client, p=payload: c.submit(length, text, payload=p))
        requests = work(site, queue, [length], looks=False)
        found[payload] = submitting["put"], submitting["get"], requests["put"], requests["get"]
    more = [reference - inline for reference, inline in zip(found["reference"], found["inline"], strict=True)]
    assert more == [1, 0, 0, 1]


def test_one_single_task_costs_what_it_says(site, show):
    client, queue = site.queue(), site.queue()
    task = client.submit(add, {"x": 1, "y": 1})
    requests = work(site, queue, [add], looks=False)
    assert task.result(1) == 2
    assert requests["put"] == 2
    assert requests["get"] <= 2
    assert requests["delete"] == 1
    assert requests["list"] == 1, "which finds it"
    show(f"one task: {dict(requests)}")


@pytest.mark.parametrize("n_rows", (2_000, 10_000))
def test_one_part_under_one_lease_costs_what_it_says(site, show, n_rows):
    client, queue = site.queue(), site.queue()

    def shipped(frame):
        return pd.DataFrame({"total": frame["a"] + frame["b"], "text": frame["c"] * 20})

    job = client.submit_frame(frame_of(n_rows), oq.task(batch=True)(shipped), part_rows=n_rows)
    requests = work(site, queue, [], trust_code=True, looks=False)
    assert len(job.result(1)) == n_rows
    assert requests["put"] == 3, "claim, output, commit"
    assert requests["get"] <= 4, "the job, the function, the input's footer and its rows"
    assert requests["list"] == 1, "which finds it"
    assert requests["delete"] == 1
    show(f"one part of {n_rows:,} rows: {dict(requests)}")


def test_million_rows_cost_one_worker_less_than_a_thousand_requests(site, show):
    client, queue = site.queue(), site.queue()
    job = client.submit_frame(frame_of(MILLION), total)
    requests = work(site, queue, [total])
    n_parts = MILLION // 10_000
    assert job.counts()["completed"] == MILLION
    assert requests.total() + RECORDS <= 1_000
    assert requests["put"] <= 3 * n_parts
    assert requests["get"] <= 4 * n_parts
    assert requests["list"] <= n_parts
    show(f"1,000,000 rows, one worker: {dict(requests)}: {requests.total() + RECORDS} in all, ${dollars(requests):.4f}")


@pytest.mark.parametrize(("retries", "isolates_after"), ((0, 2), (1, 1)))
def test_work_goes_on_at_full_speed_after_a_preemption(show, retries, isolates_after):
    site, n_rows = MemorySite(), 20_000
    client, queues = site.queue(), [site.queue(), site.queue()]
    job = client.submit_frame(frame_of(n_rows)[["a", "b"]], rest, retries=retries)
    preempt(client, job.id)
    workers = [oq.Worker(queue, [rest], isolates_after=isolates_after) for queue in queues]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    job.wait(150)
    took_s = time.monotonic() - started
    for worker, thread in zip(workers, threads, strict=True):
        worker.stop()
        thread.join()
    assert job.counts()["completed"] == n_rows
    requests = sum((queue.repository.store.requests.snapshot() for queue in queues), Counter())
    assert requests.total() <= 0.1 * n_rows
    show(
        f"{n_rows:,} rows after a preemption, retries={retries}: {n_rows / took_s:,.0f} rows/s on two workers, "
        f"{requests.total() / n_rows:.3f} requests a row"
    )


def preempt(queue, job_id):
    """Let a worker claim all that there is of a job, and die."""
    repository = queue.repository
    job = repository.read_job(job_id).doc
    for index in range(job.n_parts):
        now = repository.now()
        lease = Lease(id=f"gone-{index}", worker="gone", expires=now)

        def change(part, lease=lease, now=now):
            return claim(
                part, lease, max_rows=part.n_rows, now=now, policy=job.policy, chance=0.5, limits=QueueLimits()
            )

        repository.update_part(job, index, change, applied=lambda part, lease=lease: lease in part.leases)


# --- watching ------------------------------------------------------------------------------------


def test_refresh_costs_a_listing_a_thousand_parts_and_a_read_a_changed_part(site, show):
    client, other = site.queue(), site.queue()
    n_parts = 2_001 if isinstance(client.repository.store, MemoryStore) else 101
    n_lists = -(-n_parts // 1_000)
    job = client.map(add, [{"x": x, "y": 1} for x in range(n_parts)], part_rows=1)
    view = JobView(client.repository, client.repository.read_job(job.id).doc)
    untouched = site.measure(client, view.refresh)
    assert untouched == {"list": 1}, "parts that nobody touched cost nothing"

    other.job(job.id).cancel()  # which writes every part
    first = site.measure(client, view.refresh)
    assert first == {"list": n_lists, "get": n_parts + 1}, "all parts, and the job with the order that changed them"
    ended = site.measure(client, view.refresh)
    assert ended == {"get": 1}, "where all has ended, only whether the job is there and has no new order"

    assert other.job(job.id).retry([3, 50, n_parts - 1]) == 3
    before = {index: held.doc.rev for index, held in view.state.known.items()}
    site.measure(client, view.refresh)
    work(site, site.queue(), [add])
    again = site.measure(client, view.refresh)
    n_changed = sum(held.doc.rev > before[index] + 1 for index, held in view.state.known.items())
    assert n_changed == 3
    assert again == {"list": n_lists, "get": 3}
    assert view.state.counts()["completed"] == 3
    show(f"{n_parts:,} parts: untouched {dict(untouched)}, all changed {dict(first)}, 3 changed {dict(again)}")


def test_worker_that_knows_nothing_finds_few_open_rows_among_many_parts(show):
    """Which it must, soon, after a retry, or when a lease ran out whose holder is dead."""
    site, n_parts = MemorySite(), 1_001
    client = site.queue()
    job = client.map(add, [{"x": x, "y": 1} for x in range(n_parts)], part_rows=1)
    job.cancel()
    assert job.retry([3, 500, n_parts - 1]) == 3
    began = time.monotonic()
    requests = work(site, site.queue(), [add])
    elapsed_s = time.monotonic() - began
    assert job.counts()["completed"] == 3
    assert requests["put"] <= 2 * 3
    assert requests["list"] <= 8
    assert requests["get"] <= n_parts + 20 + 6 * elapsed_s, "each part once, and the doorbell"
    assert elapsed_s < 30.0
    show(f"3 open rows among {n_parts:,} parts: {dict(requests)} in {elapsed_s:.1f} s")


# --- idling --------------------------------------------------------------------------------------


def month(requests, seconds):
    return dollars(requests) * MONTH_S / seconds


def test_idle_worker_costs_two_dollars_a_month_and_half_a_dollar_once_backed_off(show):
    idler = Idler("idle-month")
    fresh = idler.idle(590.0)
    idler.idle(60.0)
    backed_off = idler.idle(3_600.0)
    show(
        f"fresh {dict(fresh)} in 590 s: ${month(fresh, 590.0):.2f} a month; "
        f"backed off {dict(backed_off)} an hour: ${month(backed_off, 3_600.0):.2f}"
    )
    assert 0.5 < month(fresh, 590.0) <= 2.0
    assert 0.1 < month(backed_off, 3_600.0) <= 0.5


def test_search_for_lost_jobs_is_within_the_budget_of_an_idle_worker(show):
    """It has seen a queue of a thousand jobs, done ones and open ones; each step looks at what is new."""
    idler = Idler("idle-search")
    idler.idle(60.0, arrivals=[0.05 * n for n in range(900)])
    for n in range(100):
        idler.client.submit("other", {"x": n})
    idler.client.submit("other", {"x": 1}, delay=5_000.0)
    idler.idle(1_000.0)
    idler.idle(30.0, arrivals=[1.0])
    fresh = idler.idle(560.0)
    idler.idle(60.0)
    backed_off = idler.idle(3_600.0)
    show(f"beside 1,000 jobs: ${month(fresh, 560.0):.2f} a month; backed off: ${month(backed_off, 3_600.0):.2f}")
    assert month(fresh, 560.0) <= 2.0
    assert month(backed_off, 3_600.0) <= 0.5
    lost = idler.client.submit("arrive", {"sent_s": idler.clock.time_s})
    for page in idler.client.repository.store.list_all("open/"):
        for entry in page.entries:
            if lost.job.id in entry.key:
                idler.client.repository.store.delete(entry.key)
    idler.client.repository.store.overwrite("bell", b"nothing")
    n_before = len(idler.noticed)
    idler.idle(600.0)
    assert len(idler.noticed) == n_before + 1, "a job without a marker is found within ten minutes"


def test_idle_worker_notices_new_work_within_two_seconds(show):
    idler, rng = Idler("idle-notice"), random.Random(7)
    arrivals = [100.0 * n + rng.uniform(0, 90) for n in range(36)]
    requests = idler.idle(3_600.0, arrivals=arrivals)
    n = len(arrivals)
    assert len(idler.noticed) == n
    assert max(idler.noticed) <= 2.0
    show(f"{n} tasks in an hour, each noticed within {max(idler.noticed):.2f} s (mean {np.mean(idler.noticed):.2f})")
    n_steps = 3_600 / QueueLimits().sweep_every_s + 1
    assert requests["put"] <= 3 * n + n_steps, "claim, commit, a record at most a minute after work; lost jobs"
    assert requests["list"] <= 3_600 / 30 + 4 * n, "a ring is worth a few looks"
    assert requests["get"] <= 3_600 / S3Store.poll_s + 45 * n, "and a quicker pace for twenty seconds"


def test_backed_off_worker_notices_new_work_within_seconds_too(show):
    idler, rng = Idler("idle-late"), random.Random(8)
    for _ in range(20):
        idler.idle(700.0)
        idler.idle(30.0, arrivals=[rng.uniform(0, 20)])
    assert len(idler.noticed) == 20
    assert max(idler.noticed) <= 7 * S3Store.poll_s + 1.0
    show(f"once backed off, noticed within {max(idler.noticed):.2f} s (mean {np.mean(idler.noticed):.2f})")
