"""A worker that is stopped: functions are told, and what was not done goes back."""

from __future__ import annotations

import threading
import time

import pandas as pd

import oqkit as oq

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
