"""What the simulation found, each in its smallest form."""

from __future__ import annotations

import pytest

from oqkit.claim.poller import Poller
from oqkit.client.queue import Queue
from oqkit.config import Settings
from oqkit.limits import ClaimLimits, Limits, WorkerLimits
from oqkit.queue import control
from oqkit.queue.commit import Commit
from oqkit.queue.rows import Rows
from oqkit.task.function import Options, TaskFunction
from oqkit.task.handler import Handler
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import Work, run
from tests.queue.faulty import Crash, CrashingStore, World
from tests.worker.execution import Inputs


def test_batch_that_was_given_up_starts_no_further_call():
    """Seed 1370: the second half of a batch ran although its lease had been handed back meanwhile."""
    calls = []

    def function(frame):
        calls.append(list(frame["x"]))
        if len(frame) > 1:
            raise ValueError("one of them is bad")
        buffer.limit = 0  # its time is up: somebody gives the work up during this call
        return frame

    work = Work(
        handler=Handler(TaskFunction(function, name="f", batch=True, options=Options())),
        job_id="j",
        mode="frame",
        first_task=0,
        rows=Rows.span(0, 4),
        inputs=Inputs(),
        attempts=((Rows.span(0, 4), 1),),
        worker="w",
        timeout_s=None,
        first_batch=4,
        max_batch=4,
        table=lambda result, n: result,
        limits=WorkerLimits(),
    )
    buffer = ResultBuffer(limit=4)
    run(work, buffer)
    assert calls == [[0, 1, 2, 3], [0, 1], [0]]


def test_worker_walks_through_the_windows_of_a_large_job_without_resting_in_between():
    """Seed 405: after a window of finished parts a worker rested, ever longer, before it looked at the next one."""
    world = World(limits=Limits(claim=ClaimLimits(window_parts=2)))
    job = world.job(n_tasks=24, part_rows=1)
    world.submit(job)
    first = world.worker("first")
    while world.statuses(job)["completed"] < 22:
        if not first.step():
            world.clock.sleep(0.2)
    late, start = world.worker("late"), world.now()
    while not late.step():
        world.clock.sleep(max(0.05, late.claimer.wait_s()))
    assert world.now() - start < 24 / 2 * 2 * world.repository().store.poll_s


def test_worker_that_meets_a_pause_in_the_part_itself_starts_nothing(monkeypatch):
    """Seed 93: the part had seen a newer order, so it read the job again, and claimed although that order was a pause."""
    world = World()
    job = world.job(n_tasks=30, part_rows=30)
    world.submit(job)
    worker = world.worker("worker")
    lease = worker.find()
    lease.commit(Commit(release=lease.rows, is_last=True))
    worker.claimer.ended(lease)
    control.pause(world.repository(), job.id)
    monkeypatch.setattr(Poller, "is_due", lambda *_, **__: False)  # the marker of the pause is not seen yet
    assert worker.find() is None
    assert world.statuses(job) == {"pending": 30}


def test_resume_is_carried_out_when_an_earlier_one_got_only_as_far_as_the_job():
    """Whoever resumed the job died before the workers were told; the job does not look paused any more."""
    world = World()
    job = world.job(n_tasks=3)
    world.submit(job)
    control.pause(world.repository(), job.id)
    assert world.worker("first").find() is None
    with pytest.raises(Crash):
        control.resume(world.repository(CrashingStore(world.inner, at=1, is_after=True)), job.id)
    Queue(world.repository(), Settings(url="memory://")).job(job.id).resume()
    world.worker("second").drain(until_s=60.0)
    assert world.statuses(job) == {"completed": 3}
