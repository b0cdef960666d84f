"""What the original was measured to cost (docs/evidence/original_faults.md), by counting requests here."""

from __future__ import annotations

import time

import pytest

import oqkit as oq
from oqkit.store.price import dollars
from tests.budget.conftest import MemorySite
from tests.budget.idler import Idler
from tests.local import WAIT_S

pytestmark = pytest.mark.xdist_group("budget")

N = 100


@oq.task
def add(x: int) -> int:
    return x + 1


@oq.task
def slow(x: int) -> int:
    time.sleep(0.05)  # as long as the original's took when it was measured
    return x + 1


@oq.task
def extending(x: int, ctx: oq.Context) -> int:
    for _ in range(x):
        ctx.extend_lease(60)
    return x


def worked(queue, *functions):
    """Return what one worker sends that works a queue off, without its two reports."""
    before = queue.repository.store.requests.snapshot()
    oq.Worker(queue, functions).run(until_idle=True)
    requests = queue.repository.store.requests.snapshot() - before
    requests["put"] -= 2
    return requests


def test_original_0_3_single_task_costs_a_fifth_less(show):
    """There, $26.20 a million for 5 PUT, 3 GET and 2 DELETE each, and $27 with its listings."""
    site = MemorySite()
    client, queue = site.queue(), site.queue()
    submitted = site.measure(client, lambda: [client.submit(add, x) for x in range(N)])
    cost = dollars(submitted + worked(queue, add)) / N * 1_000_000
    show(f"${cost:.2f} a million")
    assert 10.0 < cost <= 27.0 * 0.85


def test_original_0_4_and_1_15_idle_worker_lists_fifty_times_less(show):
    """There, 864 LIST a minute without an option, 192 with adaptive polling."""
    idler = Idler("original-idle")
    fresh = idler.idle(600.0)
    late = idler.idle(600.0)
    show(f"{dict(fresh)} in ten minutes, then {dict(late)}")
    assert 0 < fresh["list"] / 10 <= 192 / 50
    assert 0 < late["list"] <= fresh["list"]
    assert 0 < late["get"] < fresh["get"] / 2, "it adapts without being asked"


def test_original_2_workers_that_contend_cost_little_more_than_one(show, start):
    """There, five workers cost 10.6 GET, 3.44 PUT and 0.81 LIST a task, since all looked in the same order."""
    site = MemorySite()
    client, queues = site.queue(), [site.queue() for _ in range(5)]
    tasks = [client.submit(slow, x) for x in range(N)]
    before = [queue.repository.store.requests.snapshot() for queue in queues]
    for queue in queues:
        start(slow, queue=queue)
    assert [task.result(WAIT_S) for task in tasks] == [x + 1 for x in range(N)]
    start.stop()
    requests = sum(
        (queue.repository.store.requests.snapshot() - then for queue, then in zip(queues, before, strict=True)),
        start=type(before[0])(),
    )
    show(f"a task: { ({verb: n / N for verb, n in requests.items()}) }")
    assert requests["put"] - 2 * len(queues) <= 3.44 * N
    assert requests["get"] <= 10.6 / 2 * N
    assert requests["list"] <= 0.81 * N
    assert dollars(requests) <= 0.8 * dollars({"put": 344, "get": 1060, "list": 81})


@pytest.mark.parametrize("n_extensions", (1, 3))
def test_original_1_2_extension_costs_one_write(n_extensions):
    """There, 2 PUT and 1 DELETE each."""
    requests = {}
    for x in (0, n_extensions):
        queue = MemorySite().queue()
        queue.submit(extending, x)
        requests[x] = worked(queue, extending)
    assert requests[n_extensions]["put"] - requests[0]["put"] <= n_extensions
    assert requests[n_extensions]["get"] <= requests[0]["get"] + n_extensions
    assert requests[n_extensions]["delete"] == requests[0]["delete"]


def test_original_1_35_k_diamond_of_four_steps_costs_a_third_less(show):
    """There, 68 PUT, 40 GET and 18 DELETE."""
    site = MemorySite()
    client, queue = site.queue(), site.queue()

    def diamond():
        first = client.submit(add, 1)
        sides = [client.submit(add, x, depends_on=[first]) for x in (2, 3)]
        client.submit(add, 4, depends_on=sides)

    requests = site.measure(client, diamond) + worked(queue, add)
    show(f"{dict(requests)}: ${dollars(requests) * 1_000_000:.0f} a million")
    assert client.jobs("completed")["tasks"].sum() == 4
    assert requests["put"] <= 0.67 * 68
    assert dollars(requests) * 1_000_000 <= 0.75 * 356
