"""Rows that a worker claimed ahead do not suffer when the call before them takes longer than it seemed."""

from __future__ import annotations

import threading
import time

import pytest

import oqkit as oq
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.queue.repository import open_repository
from oqkit.store.memory import MemoryStore
from tests.local import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

LEASE_S = 1.5
calls: list[str] = []


@oq.task
def wait(label: str, wait_s: float) -> None:
    calls.append(label)
    time.sleep(wait_s)


def connect():
    store = MemoryStore.named("ahead")
    return Queue(open_repository(store), Settings(url=store.url))


def test_task_claimed_ahead_is_left_to_others_when_the_call_before_it_is_slow(caplog):
    client = connect()
    quick = [client.submit(wait, {"label": "quick", "wait_s": 0.01}, priority=200) for _ in range(5)]
    client.submit(wait, {"label": "slow", "wait_s": 4 * LEASE_S}, priority=150)
    last = client.submit(wait, {"label": "last", "wait_s": 0.01}, priority=100)
    busy, idle = (oq.Worker(connect(), [wait], lease_s=LEASE_S) for _ in range(2))
    threads = [threading.Thread(target=worker.run) for worker in (busy, idle)]
    threads[0].start()
    until(lambda: "slow" in calls, what="the slow call")
    threads[1].start()
    try:
        last.wait(timeout=3 * LEASE_S)
        assert "slow" in calls
        for task in quick:
            assert task.attempt == 1
        until(lambda: not any(t.startswith("oqkit-run") for t in running()), what="all calls end")
    finally:
        for worker in (busy, idle):
            worker.stop()
        for thread in threads:
            thread.join(20)
    assert sorted(calls) == ["last", *["quick"] * 5, "slow"], "nothing was called twice"
    assert "was taken over" not in caplog.text, "no lease ran out"


def running():
    return [thread.name for thread in threading.enumerate()]
