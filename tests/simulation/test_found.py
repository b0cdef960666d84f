"""What the simulation found, each in its smallest form."""

from __future__ import annotations

import pandas as pd

from oqkit.queue import scout
from oqkit.worker.handler import Handler
from oqkit.worker.run import Work, run
from oqkit.worker.task import Options, TaskFunction
from oqkit.worker.tray import Tray
from tests.queue.faulty import World


class Rows:
    """Inputs of as many rows as are asked for."""

    columns = ("x",)

    def frame(self, ranges):
        return pd.DataFrame({"x": [row for first, stop in ranges for row in range(first, stop)]})


def test_batch_that_was_given_up_starts_no_further_call():
    """Seed 1370: the second half of a batch ran although its lease had been handed back meanwhile."""
    calls = []

    def function(frame):
        calls.append(list(frame["x"]))
        if len(frame) > 1:
            raise ValueError("one of them is bad")
        tray.limit = 0  # its time is up: somebody gives the work up during this call
        return frame

    work = Work(
        handler=Handler(TaskFunction(function, name="f", batch=True, options=Options())),
        job_id="j",
        mode="frame",
        first_task=0,
        rows=range(4),
        inputs=Rows(),
        attempts=(((0, 4), 1),),
        worker="w",
        timeout_s=None,
        first_batch=4,
        max_batch=4,
        table=lambda result, n: result,
    )
    tray = Tray(limit=4)
    run(work, tray)
    assert calls == [[0, 1, 2, 3], [0, 1], [0]]


def test_worker_walks_through_the_windows_of_a_large_job_without_resting_in_between(monkeypatch):
    """Seed 405: after a window of finished parts a worker rested, ever longer, before it looked at the next one."""
    monkeypatch.setattr(scout, "WINDOW", 2)
    world = World()
    job = world.job(n_tasks=24, part_rows=1)
    world.submit(job)
    first = world.worker("first")
    while world.statuses(job)["completed"] < 22:
        if not first.step():
            world.clock.sleep(0.2)
    late, start = world.worker("late"), world.now()
    while not late.step():
        world.clock.sleep(max(0.05, late.scout.wait_s()))
    assert world.now() - start < 24 / 2 * 2 * world.ledger().store.poll_s
