"""Executions without a queue: inputs, leases and a codec that only remember."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pandas as pd

from oqkit.errors import SchemaError
from oqkit.limits import Limits, TaskLimits, WorkerLimits
from oqkit.observe.observer import Observers
from oqkit.queue.job import Code
from oqkit.queue.rows import Rows
from oqkit.queue.transition import Verb
from oqkit.task.function import Options, TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.timer import RowTimer
from oqkit.worker.buffer import ResultBuffer
from oqkit.worker.call import Work
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.thread import SystemThreads
from tests.local import WAIT_S


class Inputs:
    """Row n has the one column x, whose value is n."""

    columns = ("x",)

    def arguments(self, names, rows):
        return iter([(row,) for row in rows])

    def frame(self, rows):
        return pd.DataFrame({"x": list(rows)})


class FakeInputs:
    """The same of some rows, as a list; a child is sent no others."""

    columns = ("x",)

    def __init__(self, rows):
        self.rows = rows

    def only(self, ranges):
        return FakeInputs(list(ranges.numbers()))

    def arguments(self, names, ranges):
        return iter([(row,) for row in self.frame(ranges)])

    def frame(self, ranges):
        rows = list(ranges.numbers())
        assert set(rows) <= set(self.rows), "only() came before"
        return rows


def the_table(_lock, result, n_rows):
    if len(result) != n_rows:
        raise SchemaError(f"{len(result)} rows instead of {n_rows}")
    return list(result)


def work_of(function, rows=range(10), *, batch=False, timeout_s=None, first_batch=256):
    return Work(
        handler=Handler(TaskFunction(function, name="work", batch=batch, options=Options())),
        job_id="job",
        mode="rows",
        first_task=0,
        rows=Rows.of(rows),
        inputs=FakeInputs(list(rows)),
        attempts=((Rows.span(0, 1_000_000), 2),),
        worker="here",
        timeout_s=timeout_s,
        first_batch=first_batch,
        max_batch=len(rows),
        table=partial(the_table, threading.Lock()),  # does not pickle, as a codec with a store may not
        limits=WorkerLimits(),
    )


class Ran:
    """What an execution left: its outcomes, and the numbers of its buffer."""

    def __init__(self, buffer):
        results = buffer.drain()
        self.rows, self.values, self.tables = list(results.rows), results.values, results.tables  # noqa: PD011 - not a frame
        self.failures, self.verbs = results.failures, verbs_of(results)
        self.mark, self._buffer = buffer.mark, buffer

    @property
    def meter(self):
        return list(self._buffer.meter)

    @property
    def taken(self):
        return self._buffer.taken

    @property
    def busy(self):
        return self._buffer.busy

    @property
    def is_over(self):
        return self._buffer.is_over


def verbs_of(results):
    return {row: outcome.verb for outcome in results.outcomes for row in outcome.rows}


def ran(executor, work, *, limit=None):
    buffer = ResultBuffer(limit=len(work.rows) if limit is None else limit)
    execution = executor.start(work, buffer)
    assert execution.finished.wait(WAIT_S)
    return Ran(buffer), execution.crash


def results(buffer):
    return dict(zip(buffer.rows, buffer.values, strict=True))


@dataclass
class FakeLease:
    """A lease whose commits are remembered, not written."""

    n_rows: int
    id: str = "lease"
    lease_s: float = 60.0
    job: Any = None
    fates: dict[int, Verb] = field(default_factory=dict)
    is_over: bool = False
    max_losses = 3
    is_alone: bool = False
    inline_bytes: int = 8192
    limits = Limits()
    certain: list[bool] = field(default_factory=list)

    def __post_init__(self):
        self.job = SimpleNamespace(id="job", type="work", code=Code())

    monotonic = now = staticmethod(time.monotonic)
    expires = 0.0

    @property
    def rows(self):
        return Rows.of(row for row in range(self.n_rows) if row not in self.fates)

    def deaths(self, row):
        return 0

    def put_output(self, data):
        raise AssertionError

    def check(self, given):
        """All can be stored."""

    def commit(self, given, **_):
        for outcome in given.outcomes:
            self.certain += [outcome.is_certain] if outcome.verb is Verb.LOSE else []
            for row in outcome.rows.numbers():
                assert self.fates.setdefault(row, outcome.verb) is outcome.verb
        self.is_over = given.is_last or not self.rows


class FakeCodec:
    """Keeps what would be stored."""

    def __init__(self):
        self.failures = {}

    def pack(self, results, *, refuse, inline_bytes):
        self.failures.update(results.failures)
        return {}, {}


def runner_of(executor, work, lease, codec):
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


def worked_off(executor, work, lease=None):
    lease, codec = lease or FakeLease(len(work.rows)), FakeCodec()
    runner = runner_of(executor, work, lease, codec)
    runner.start()
    end = time.monotonic() + WAIT_S
    while not runner.step():
        assert time.monotonic() < end
    runner.finish()
    assert lease.is_over
    completed = {row for row, verb in lease.fates.items() if verb is Verb.COMPLETE}
    assert completed | set(codec.failures) == set(work.rows)
    return codec.failures
