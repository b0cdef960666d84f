"""A worker that is stopped: functions are told, and what was not done goes back."""

from __future__ import annotations

import signal
import threading
import time

import pandas as pd
import pytest

import oqkit as oq
from oqkit.worker.executor import ThreadExecutor
from oqkit.worker.thread import SystemThreads
from tests.local import WAIT_S, until
from tests.worker.execution import FakeCodec, FakeLease, runner_of, work_of

STARTED = threading.Event()


def patient(x: int, ctx: oq.Context) -> str:
    """Work until told to stop."""
    STARTED.set()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if ctx.cancelled:
            return "told"
        time.sleep(0.01)  # the work
    return f"never told about {x}"


def test_function_is_told_when_its_worker_stops_and_rows_not_started_go_back(queue):
    STARTED.clear()
    worker = oq.Worker(queue, [patient], grace_s=10)
    thread = threading.Thread(target=worker.run, daemon=True)
    job = queue.submit_frame(pd.DataFrame({"x": range(6)}), patient, part_rows=6)
    thread.start()
    assert STARTED.wait(10)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()
    tasks = job.tasks()
    assert tasks["status"].astype(str).tolist() == ["completed"] + ["pending"] * 5
    assert job.partial()["patient"].tolist() == ["told"]
    assert not tasks["worker"].any()


def talkative(x: int, ctx: oq.Context) -> None:
    """Say something until that raises."""
    STARTED.set()
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        ctx.progress(x, 10)
        time.sleep(0.001)


def test_call_that_is_left_with_its_worker_has_not_failed():
    """What it raises when it is told that its outcome is not wanted would use up its retries."""
    STARTED.clear()
    lease = FakeLease(3)
    runner = runner_of(ThreadExecutor(), work_of(talkative, range(3)), lease, FakeCodec())
    runner.start()
    assert STARTED.wait(WAIT_S)
    runner.give_up()
    until(lambda: runner._present().buffer.is_over)
    runner.finish()
    assert (lease.fates, lease.is_over) == ({}, True)


def test_thread_goes_on_when_ctrl_c_interrupts_who_waits_for_it():
    """Where it passed for ended, a worker that got Ctrl-C left its calls and their leases behind."""
    go_on = threading.Event()
    thread = SystemThreads().start(lambda: go_on.wait(WAIT_S), name="slot")
    threading.Timer(0.2, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        thread.join(WAIT_S)
    assert thread.is_alive()
    go_on.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()
