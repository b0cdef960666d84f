"""Rows that may kill their process run elsewhere than others: what holds of what they gave there, and how their lease ends."""

from __future__ import annotations

from collections import Counter

import pytest

from oqkit.arrow.batch import encode_batch
from oqkit.errors import PermanentError, SchemaError, Skip
from oqkit.limits import TaskLimits, WorkerLimits
from oqkit.observe.observer import Observers
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.rows import Rows
from oqkit.task.function import Options, TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer
from oqkit.worker.call import Work
from oqkit.worker.executor import ThreadExecutor
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.thread import SystemThreads
from tests.queue.faulty import World
from tests.worker.execution import Inputs


@pytest.fixture
def world():
    return World()


@pytest.fixture
def job(world):
    return world.submit(world.job(n_tasks=4, policy=Policy(retries=0, backoff=Backoff(initial_s=0.0)))).job


def runner_of(world, function, *, batch=False, table=None):
    """Return what runs `function` on all rows of a lease, isolated at first: in another thread, as good as a process."""
    lease = world.worker().find()
    work = Work(
        handler=Handler(TaskFunction(function, name="score", batch=batch, options=Options())),
        job_id=lease.job.id,
        mode="frame",
        first_task=0,
        rows=lease.rows,
        inputs=Inputs(),
        attempts=lease.attempts(),
        worker="w",
        timeout_s=None,
        first_batch=4,
        max_batch=4,
        table=table,
        is_suspect=True,
        limits=WorkerLimits(),
    )
    executor, codec = ThreadExecutor(isolating=ThreadExecutor), ParquetCodec(world.repository())
    return LeaseRunner(
        lease,
        work,
        codec=codec,
        executor=executor,
        timer=RowTimer(TaskLimits()),
        observers=Observers(),
        threads=SystemThreads(),
        grace_s=0.0,
    )


def run(runner):
    runner.start()
    while not runner.step():
        pass


def test_isolated_lease_ends_with_its_last_outcomes(world, job):
    """A worker that dies right after them leaves nothing behind."""
    runner = runner_of(world, lambda x: x)
    run(runner)
    (part,) = world.parts(job)
    assert (part.leases, part.is_final) == ((), True)
    runner.finish()
    assert not runner.is_lost
    assert len(list(world.inner.versions(world.repository().keys_of(job).part(0)))) == 2, "the claim and one commit"


def test_row_that_fails_in_isolation_runs_once_more_in_its_own_place_unless_that_cannot_change_it(world, job):
    calls = Counter()

    def score(x):
        calls[x] += 1
        if x == 1:
            raise ValueError("something may have been missing")
        if x == 2:
            raise PermanentError("bad for good")
        if x == 3:
            raise Skip
        return x

    runner = runner_of(world, score)
    run(runner)
    runner.finish()
    assert calls == {0: 1, 1: 2, 2: 1, 3: 1}
    assert world.statuses(job) == {"completed": 2, "failed": 2}
    (part,) = world.parts(job)
    assert part.leases == ()
    assert Rows.of([0, 3]) == part.rows(lambda state: state.status == "completed")


def test_value_that_cannot_leave_its_isolation_is_made_once_more_in_its_own_place(world, job):
    calls = []

    def table(result, n_rows):
        calls.append(n_rows)
        if len(calls) == 1:
            raise SchemaError("it cannot leave the process that made it")
        return encode_batch(result, n_rows)

    runner = runner_of(world, lambda frame: frame, batch=True, table=table)
    run(runner)
    runner.finish()
    assert calls == [4, 4]
    assert world.statuses(job) == {"completed": 4}
