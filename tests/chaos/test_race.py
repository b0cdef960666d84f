"""Many submit while many work, all on one queue: every task gets one outcome, none is lost, none runs twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from tests.chaos.fleet import Fleet, check_at_rest, check_outcomes
from tests.chaos.task import double
from tests.local import names_below, until

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.xdist_group("chaos")]

N_SUBMITTERS = 10
N_WORKERS = 8
N_SINGLES = 5
N_KEYS = 3
ROWS = 400


def submit_all(queue, number, barrier):
    """Submit a frame and single tasks of one's own, and what everybody else submits too, under one name or key."""
    barrier.wait()
    own = frame_of(f"own{number}", ROWS)
    frame = queue.submit_frame(own, double, part_rows=40)
    singles = [queue.submit(double, {"label": f"single{number}", "x": x}) for x in range(N_SINGLES)]
    shared = queue.submit_frame(frame_of("shared", ROWS), double, name="shared", part_rows=40)
    keyed = [queue.submit(double, {"label": "keyed", "x": x}, key=f"key-{x}") for x in range(N_KEYS)]
    return [frame, shared], [*singles, *keyed]


def frame_of(label, n):
    return pd.DataFrame({"label": label, "x": range(n)})


def expected_calls():
    own = {(f"own{n}", x) for n in range(N_SUBMITTERS) for x in range(ROWS)}
    single = {(f"single{n}", x) for n in range(N_SUBMITTERS) for x in range(N_SINGLES)}
    return own | single | {("shared", x) for x in range(ROWS)} | {("keyed", x) for x in range(N_KEYS)}


def test_ten_submitters_and_eight_workers_give_every_task_one_outcome(s3, tmp_path, capsys):
    with Fleet(s3, tmp_path / "fleet") as fleet:
        workers = fleet.start_ready(N_WORKERS)
        queues = [s3.queue() for _ in range(N_SUBMITTERS)]
        barrier = threading.Barrier(N_SUBMITTERS)
        with ThreadPoolExecutor(N_SUBMITTERS) as pool:
            submitted = list(pool.map(submit_all, queues, range(N_SUBMITTERS), [barrier] * N_SUBMITTERS))
        jobs = {job.id: job for frames, _ in submitted for job in frames}
        tasks = {task.id: task for _, single in submitted for task in single}
        assert len(jobs) == N_SUBMITTERS + 1, "one job of one's own for each, and one that all share"
        assert len(tasks) == N_SUBMITTERS * N_SINGLES + N_KEYS, "one task for each key"
        for job in jobs.values():
            frame = job.result(timeout=120)
            assert list(frame["y"]) == [2 * x for x in range(ROWS)]
        values = {task: tasks[task].result(timeout=120)["y"] for task in tasks}

        queue = queues[0]
        stored = names_below(queue.repository.store, "jobs/")
        assert len(stored) == len(jobs) + len(tasks), "no submission left a second job behind"
        for job_id in {*jobs, *(task.job.id for task in tasks.values())}:
            check_outcomes(queue, job_id)
        assert sorted(values.values()) == sorted(
            [2 * x for x in range(N_SINGLES)] * N_SUBMITTERS + [2 * x for x in range(N_KEYS)]
        )
        calls = fleet.calls()
        assert calls.keys() == expected_calls(), "every task ran, and nothing else did"
        assert set(calls.values()) == {1}, "no lease was lost, so nothing ran twice"
        fleet.check_health()
        until(lambda: not names_below(queue.repository.store, "open/"), what="all markers are taken down")
        check_at_rest(queue)
        n_calls = [len(worker.calls) for worker in workers]
        assert sum(n > 0 for n in n_calls) >= N_WORKERS // 2, f"the work was spread: {n_calls}"
    with capsys.disabled():
        print(f"\n[race] {sum(calls.values()):,} tasks, each called once; by worker: {n_calls}")
